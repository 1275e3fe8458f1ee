"""Names and regions of buckets, checked by AWS's rules; standard library only."""
