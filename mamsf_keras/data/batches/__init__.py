"""Batches of a data set: what they hold, and how they reach Keras."""
