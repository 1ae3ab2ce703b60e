"""Training: the run, its phases, losses, checkpoints and callbacks."""
