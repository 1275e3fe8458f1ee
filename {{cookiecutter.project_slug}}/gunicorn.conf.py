"""gunicorn's configuration, which `gunicorn config.wsgi` reads. GUNICORN_CMD_ARGS and the command line win.

PORT makes it listen on 0.0.0.0:PORT, without it on 127.0.0.1:8000. WEB_CONCURRENCY is the number of workers.
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


# Each thread has a database connection of its own: 36 at most, of PostgreSQL's 100.
worker_class = "s3kit.serving.worker.Worker"
workers = int(os.environ.get("WEB_CONCURRENCY") or min(cpus(), 8) + 1)
threads = 4
worker_connections = 500  # slow clients included; each takes a file descriptor, of often 1,024

graceful_timeout = 25  # seconds; orchestrators kill after 30 or later
keepalive = 75  # seconds; load balancers close an idle connection after 60, and must be the first to do so
max_requests = 10_000  # then a worker starts anew, in case something leaks memory
max_requests_jitter = 1_000

# Workers write a heartbeat there, which must not wait for a disk.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
control_socket_disable = True
# DJANGO_SECURE_PROXY_SSL_HEADER alone says which proxy is trusted.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")

accesslog = "-"
# Paths without their query strings, which may hold secrets.
access_log_format = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(B)s bytes %(M)s ms "%(a)s" %({x-request-id}o)s'

# The settings reject a value that is neither.
_format = "json" if Env.read(env_file()).text("DJANGO_LOG_FORMAT").lower() == "json" else "plain"
logconfig_dict = logs.configuration(_format)
capture(streams=_format == "json")  # each line is a JSON object then, whoever prints it
