"""The callback that moves the anchor, the losses, and the training run."""
