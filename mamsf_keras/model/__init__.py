"""The network: backbone, momentum anchor, multi-scale fusion, classifier."""
