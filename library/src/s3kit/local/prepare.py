"""The site's buckets and its key on the local S3 server."""

from s3kit.buckets import apply, policies
from s3kit.deployment import Deployment
from s3kit.local.server import LocalServer

# All that a developer does with the site; `setup` is the server's root.
ROLES = ("web", "deploy", "prune")


def prepare(server: LocalServer) -> Deployment:
    """Bring the buckets of STORAGES to the wanted state, and give the site a key with the rights of its roles.

    Raises BucketError where a bucket has a conflict, NotOnS3Error where no storage is on S3.
    """
    deployment = Deployment.load(local=True)
    apply.prepare(deployment.with_key(server.root))
    server.site_key(*(policies.document(policies.ROLES[role](deployment)) for role in ROLES))
    return deployment
