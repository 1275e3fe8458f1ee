"""What keeps the local S3 server from running."""


class LocalServerError(Exception):
    """The local S3 server could not start or did not go on; the text is one line for a person."""
