"""From an image folder and its tables to batches: reader, splits, phantoms, augmentation, stream."""
