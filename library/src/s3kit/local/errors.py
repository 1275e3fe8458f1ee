"""Errors of the local S3 server."""


class LocalServerError(Exception):
    """The local S3 server didn't start, or stopped; the text is a message for people, on one line."""
