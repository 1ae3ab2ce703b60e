"""From a run to files that can be served, each compared with Keras before it is published."""
