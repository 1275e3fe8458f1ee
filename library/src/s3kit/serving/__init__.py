"""What lets a site face the internet: start-up, slow clients, large bodies, visitors' addresses, private databases."""

MAX_BODY = 256 * 1024  # bytes of a request's body, except for views that take files (s3kit.serving.bodies)
