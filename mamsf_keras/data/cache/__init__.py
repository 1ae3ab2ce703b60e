"""The cache: every image decoded once into uint8 shards."""
