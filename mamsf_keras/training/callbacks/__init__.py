"""Callbacks, one class per file. `build.py` puts those of a run in order."""
