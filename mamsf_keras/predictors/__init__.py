"""Predictors: gray images in, probabilities out, for Keras, SavedModel, TFLite, ONNX and servers."""
