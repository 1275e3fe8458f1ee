"""The library beside other people's packages, on a real site and a local S3 server."""
