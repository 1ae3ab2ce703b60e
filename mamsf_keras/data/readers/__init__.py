"""Readers: each module recognizes one kind of input (`recognizes`) and reads its tables into a `Dataset` (`read`)."""
