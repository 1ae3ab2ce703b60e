"""The readers of data sets.

A reader is a module with `recognizes(config)`, which returns True for its kind of input, and `read(config) -> Dataset`.
To add one, write the module and insert it in `READERS` before `nih`, which recognizes everything.
"""

from mamsf_keras.data.readers import cache, labels_csv, nih

READERS = (cache, labels_csv, nih)
"""The readers, in the order in which they are asked."""
