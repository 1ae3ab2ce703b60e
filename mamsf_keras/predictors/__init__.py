"""Predictors: gray images in, probabilities out, for Keras, SavedModel and TFLite."""
