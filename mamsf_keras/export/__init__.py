"""Exports a run to files that can be served. Each is compared with Keras before it is published."""
