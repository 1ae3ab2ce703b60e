"""Heatmaps: which places of an image speak for a finding."""
