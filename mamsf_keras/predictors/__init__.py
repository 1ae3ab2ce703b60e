"""Predictors: grey images in, probabilities out, whatever computes them."""
