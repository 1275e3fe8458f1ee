"""Prepares the local S3 server: creates the site's buckets and its access key."""

from s3kit.buckets import apply, policies
from s3kit.deployment import Deployment
from s3kit.local import LocalServerNotRunningError, current, read_key
from s3kit.local.server import LocalServer
from s3kit.options import conf

# The roles of a developer's work; root does the work of `setup`.
ROLES = ("web", "deploy", "prune")


def prepare(server: LocalServer) -> Deployment:
    """Bring the buckets of STORAGES to the wanted state, and give the site a key with the rights of its roles.

    Raises BucketError for a conflict in a bucket, and NotOnS3Error if no storage is on S3.
    """
    deployment = Deployment.load(local=True)
    apply.prepare(deployment.with_key(server.root))
    grant(server, deployment)
    return deployment


def grant(server: LocalServer, deployment: Deployment) -> None:
    """Give the site's key the rights of its roles."""
    server.site_key(*(policies.document(policies.ROLES[role](deployment)) for role in ROLES))


def running_server() -> LocalServer:
    """Return the running local server, with root's key; raise LocalServerNotRunningError if it isn't running."""
    endpoint, _ = current()
    root = read_key(conf.local_dir / "root")
    if root is None:
        raise LocalServerNotRunningError
    return LocalServer(endpoint, "us-east-1", conf.local_dir, root)
