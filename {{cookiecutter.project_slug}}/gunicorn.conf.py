"""How gunicorn runs the site; it reads this file by itself: `gunicorn config.wsgi` in this folder.

PORT makes it listen on 0.0.0.0:PORT, and without it on 127.0.0.1:8000. WEB_CONCURRENCY is the number of
workers. Everything else can be said in GUNICORN_CMD_ARGS or on the command line, both of which win over this
file. https://gunicorn.org/reference/settings/ explains each setting.
"""

import os
from pathlib import Path

from gunicorn.workers.gthread import ThreadWorker

from config import logs
from config.env import Env, env_file


def _cpus() -> int:
    """Return how many CPUs this process may use: those it may run on, or fewer by a container's quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        return max(1, min(usable, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return usable


class Worker(ThreadWorker):  # type: ignore[misc]  # it comes without types
    """gunicorn's own worker with threads, which when it stops closes its door at once.

    By itself it keeps the listening socket open until its last request has ended: for as long as that takes,
    the kernel goes on accepting connections that nobody will ever serve, where a proxy that is refused asks
    another server.
    """

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept connections, or for a while or for good accept none."""
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                listener.close()


# A worker more than CPUs, so that there are always two: one goes on while the other starts anew. Each thread
# has a connection to the database, hence the bound on a large machine: 36 of PostgreSQL's 100.
worker_class = Worker
workers = int(os.environ.get("WEB_CONCURRENCY") or min(_cpus(), 8) + 1)
threads = 4

# Seconds. The first is about a worker that is stuck as a whole; a thread may take longer over an upload. The
# second is how long a stopping worker lets its requests end; orchestrators kill after 30 or later.
timeout = 30
graceful_timeout = 25
# Longer than load balancers keep an idle connection (nginx and AWS: 60), so that it is never this side that
# closes one just as a request comes. Waiting connections hold no thread.
keepalive = 75

# A worker starts anew now and then, so that memory which a library does not give back adds up to nothing; not
# all of them at once. No request is lost by it.
max_requests = 10_000
max_requests_jitter = 1_000

# A worker says twice a second in a file there that it lives: that must never wait for a disk.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- gunicorn makes a file that only it can open

# Each worker loads the site for itself: connections and threads of libraries don't survive a fork, and after
# SIGHUP the new workers read code and .env again.
preload_app = False

# Whether to believe a proxy is said in one place, DJANGO_SECURE_PROXY_SSL_HEADER; gunicorn by itself would
# believe anybody on this machine.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")

# A socket in the home folder that commands every gunicorn of this user: nothing here needs it.
control_socket_disable = True

accesslog = "-"
logconfig_dict = logs.configuration(Env.read(env_file()).text("DJANGO_LOG_FORMAT", default="plain"))
