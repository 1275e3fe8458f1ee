"""The buckets: what they are to be, what they are, and what it takes to bring them there."""
