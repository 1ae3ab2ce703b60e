"""Predictions of a run, and exact metrics per finding."""
