"""AWS's rules for bucket names and regions. Uses only the standard library."""
