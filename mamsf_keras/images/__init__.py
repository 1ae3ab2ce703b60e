"""Reads image files as gray pixels, and augments them."""
