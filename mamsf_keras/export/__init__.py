"""From a run to files that serve: SavedModel and TFLite, each checked against Keras before it is left there."""
