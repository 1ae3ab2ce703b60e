"""Predictions, and what they say: exact metrics of each finding."""
