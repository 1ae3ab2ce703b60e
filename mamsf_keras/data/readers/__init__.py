"""The readers of data sets.

A reader is a module with `recognizes(config)`, which returns True for its kind of input, and `read(config) -> Dataset`.
To add one, write the module and insert it in `READERS` of `mamsf_keras/data/open.py`.
"""
