"""Buckets: their wanted state, their live state, and the changes from one to the other."""
