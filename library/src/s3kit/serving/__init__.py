"""Helpers to run a site on the internet: startup, slow clients, large bodies, client addresses, private databases."""

MAX_BODY = (
    256 * 1024
)  # bytes in the body of a request, except for views that accept files (s3kit.serving.bodies)
