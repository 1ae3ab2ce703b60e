"""From tables and image files to a data set, its splits, its cache and its batches."""
