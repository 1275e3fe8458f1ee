"""Configuration of gunicorn, for `gunicorn config.wsgi`. GUNICORN_CMD_ARGS and the command line override it.

With PORT, gunicorn listens on 0.0.0.0:PORT, otherwise on 127.0.0.1:8000. WEB_CONCURRENCY is the number of workers.
"""

import os
from pathlib import Path

from s3kit.logging import capture
from s3kit.serving.hooks import on_starting, pre_request  # noqa: F401

from config import logs
from config.env import Env, env_file


def cpus() -> int:
    """Return how many CPUs this process may use, which a container's quota can limit."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        return max(1, min(usable, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or no quota
        return usable


# Each thread has its own database connection: at most 36 of PostgreSQL's default 100.
worker_class = "s3kit.serving.worker.Worker"
workers = int(os.environ.get("WEB_CONCURRENCY") or min(cpus(), 8) + 1)
threads = 4
worker_connections = 500  # including slow clients; each takes a file descriptor, and the limit is often 1,024

graceful_timeout = 25  # seconds; orchestrators kill a process after 30 or more
keepalive = 75  # seconds; load balancers close an idle connection after 60, and must be the first to do so
max_requests = 10_000  # then the worker restarts, in case something leaks memory
max_requests_jitter = 1_000

# For the workers' heartbeat, which must not wait for a disk.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
control_socket_disable = True
# Only DJANGO_SECURE_PROXY_SSL_HEADER makes the site trust a proxy.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")

accesslog = "-"
# Paths without query strings, which may contain secrets.
access_log_format = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(B)s bytes %(M)s ms "%(a)s" %({x-request-id}o)s'

# The settings reject any other value.
_format = "json" if Env.read(env_file()).text("DJANGO_LOG_FORMAT").lower() == "json" else "plain"
logconfig_dict = logs.configuration(_format)
capture(streams=_format == "json")  # makes each line a JSON object, even one from print()
