"""The library together with other packages, on a real site and a local S3 server."""
