"""The readers of data sets.

A reader is a module with `recognizes(config)`, whether an input is of its kind, and `read(config) -> Dataset`. To add
one, write the module and give it a place in `READERS`, before `nih`, which takes whatever no other reader recognizes.
"""

from mamsf_keras.data.readers import cache, labels_csv, nih

READERS = (cache, labels_csv, nih)
"""The readers, in the order in which they are asked."""
