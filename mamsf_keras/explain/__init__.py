"""Heatmaps: the regions of an image that contribute to a finding."""
