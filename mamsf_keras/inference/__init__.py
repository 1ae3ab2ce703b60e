"""From image files to probabilities and heatmaps: with a run, an export or a server."""
