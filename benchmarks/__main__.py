"""Measure, and print Markdown: `make bench`, or `make bench BENCH="--quick"`. See benchmarks/README.md."""

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

from benchmarks import files, names, uploads

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work" / "bench"

LIBRARY = ROOT / "library"

_PARSER = ("tree-sitter==0.26.1", "tree-sitter-javascript==0.25.0")
_DJANGO = "django==5.2.19"
_DJANGO_STORAGES = (_DJANGO, "django-storages[s3]==1.14.6", "boto3==1.44.5")


class Peer(NamedTuple):
    """A package to measure: its title in the tables, and what its environment installs."""

    title: str
    packages: tuple[str, ...]


PEERS = {
    "ours": Peer("django-s3-kit", (*_DJANGO_STORAGES, "obstore==0.12.1", "cryptography==50.0.2", *_PARSER)),
    "manifest": Peer("S3ManifestStaticStorage", _DJANGO_STORAGES),
    "collectfasta": Peer("Collectfasta", (*_DJANGO_STORAGES, "Collectfasta==3.3.5")),
    "capo": Peer("django-capo-s3", (_DJANGO, "django-capo-s3==0.7.1", "capo-s3==0.24.0")),
}
# How many times the 2,000 files of packages each tree contains.
SIZES = {"small": 0, "large": 1, "huge": 5}
TREES = {
    tree: f"the admin's files and {files.SMALL + times * files.MORE:,} more" for tree, times in SIZES.items()
}
STEPS = {"first": "first deploy", "unchanged": "nothing changed", "changed": "one file changed"}
DELAYS = (0, 20, 100)  # ms
# Other measurements, under the names that --only accepts.
MORE = ("links", "uploads", "names")

# Rounds for (files, delay): one or none for cells that take minutes, so that a run ends within ten minutes.
DEFAULT = {
    ("small", 0): {"ours": 3, "manifest": 1, "collectfasta": 3, "capo": 3},
    ("small", 20): {"ours": 5, "manifest": 1, "collectfasta": 2, "capo": 1},
    ("small", 100): {"ours": 3, "collectfasta": 1},
    ("large", 0): {"ours": 3, "collectfasta": 1},
    ("large", 20): {"ours": 5, "collectfasta": 1},
    ("large", 100): {"ours": 3},
    ("huge", 20): {"ours": 2},
}
QUICK = {("small", 20): {"ours": 3, "collectfasta": 1}, ("large", 20): {"ours": 2}}
FULL = {(tree, delay): dict.fromkeys(PEERS, 3) for tree in TREES for delay in DELAYS}


class Run(NamedTuple):
    """The figures of one collectstatic.

    `sent` (bodies without headers) and `memory` (the peak) are in bytes. `cpu` is the processor time of the process in
    seconds. `server` is the fraction of the time in which the server was busy.
    """

    requests: int
    uploads: int
    sent: int
    seconds: float
    cpu: float
    memory: int
    server: float


Runs = dict[tuple[str, int, str, str], list[Run]]  # by tree, delay, step and peer


def say(text: str) -> None:
    """Print progress to stderr; stdout has only the tables."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Server:
    """The in-memory S3 server, in its own process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, method: str = "GET") -> Any:
        """Return the JSON at a path."""
        with urlopen(Request(f"{self.url}{path}", method=method), timeout=60) as answer:
            return json.load(answer)


@contextmanager
def server() -> Iterator[Server]:
    """Run a server while the context lasts."""
    command = [sys.executable, "-m", "benchmarks.memory_s3"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()))
        # Leaving closes the server's standard input, and the server exits.


def library_wheel() -> Path:
    """Build the wheel of this checkout's library, and return its path."""
    command = [sys.executable, LIBRARY / "wheel.py", "--out", WORK / "wheels"]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def environment(peer: str, uv: str) -> Path:
    """Create a peer's project, and its environment unless it exists; return the folder of both."""
    folder = WORK / peer
    python, note = folder / "venv" / "bin" / "python", folder / "packages.txt"
    wheels = [library_wheel()] if peer == "ours" else []
    wanted = "\n".join([sys.executable, *PEERS[peer].packages, *map(digest_of, wheels)])
    if not note.exists() or note.read_text(encoding="utf-8") != wanted:
        say(f"{peer}: installing {', '.join(PEERS[peer].packages)}")
        subprocess.run([uv, "venv", "--quiet", "--clear", "-p", sys.executable, folder / "venv"], check=True)
        # Copied, because the files get new times below, which must not change uv's cache.
        install: list[str | Path] = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--link-mode",
            "copy",
            "--compile-bytecode",
            "-p",
            python,
        ]
        subprocess.run([*install, *PEERS[peer].packages, *wheels], check=True)
        note.write_text(wanted, encoding="utf-8")
    project = folder / "project"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(ROOT / "benchmarks" / "project", project, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([python, "-m", "compileall", "-q", project], check=True)
    return folder


def variables(peer: str, endpoint: str) -> dict[str, str]:
    """Return the environment of a measured process, without the shell's variables and AWS profiles."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(WORK),
        "LANG": "C.UTF-8",
        "BENCH_PEER": peer,
        "BENCH_ENDPOINT": endpoint,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Project:
    """A peer's project with one of the trees of files, in the state of a fresh checkout before each run."""

    def __init__(self, peer: str, folder: Path, tree: str, s3: Server) -> None:
        self.peer, self.folder, self.s3 = peer, folder, s3
        self.static = folder / "project" / "static"
        count = files.write(self.static, more=SIZES[tree])
        (admin,) = folder.glob("venv/lib/*/site-packages/django/contrib/admin/static")
        self.sources = [path for top in (self.static, admin) for path in top.rglob("*") if path.is_file()]
        self.changed = self.static / files.CHANGED
        self.original = self.changed.read_bytes()
        assert count == sum(1 for path in self.static.rglob("*") if path.is_file())

    def _check_out(self, step: str) -> None:
        """Give every file the modification time of a fresh checkout, later than all objects."""
        self.changed.write_bytes(self.original + (b"// changed\n" if step == "changed" else b""))
        now = time.time() + 1  # S3 reports times in whole seconds
        for path in self.sources:
            os.utime(path, (now, now))

    def run(self, step: str, delay: int) -> Run:
        """Measure one collectstatic."""
        self._check_out(step)
        if step == "first":
            self.s3.ask("/-/empty", "POST")
        self.s3.ask(f"/-/start?delay={delay / 1000}", "POST")
        command: list[str | Path] = [
            self.folder / "venv" / "bin" / "python",
            "manage.py",
            "collectstatic",
            "--noinput",
        ]
        log = WORK / f"{self.peer}.log"
        with log.open("wb") as out:
            began = time.perf_counter()
            process = subprocess.Popen(
                command,
                cwd=self.folder / "project",
                env=variables(self.peer, self.s3.url),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{self.peer} failed:\n{log.read_text(encoding='utf-8')[-4000:]}")
        stats = self.s3.ask("/-/stats")
        self._check_bucket()
        memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return Run(
            requests=stats["requests"],
            uploads=stats["uploads"],
            sent=stats["received"],
            seconds=seconds,
            cpu=usage.ru_utime + usage.ru_stime,
            memory=memory,
            server=stats["cpu"] / seconds,
        )

    def _check_bucket(self) -> None:
        """Exit if a run left out a file."""
        self.s3.ask("/-/start?delay=0", "POST")
        paths = self.s3.ask("/bench-static/static/staticfiles.json")["paths"]
        objects = self.s3.ask("/-/objects")
        missing = [name for name in paths.values() if f"bench-static/static/{name}" not in objects]
        digest = hashlib.md5(self.changed.read_bytes(), usedforsecurity=False).hexdigest()[:12]
        if missing or len(paths) != len(self.sources) or digest not in paths[files.CHANGED]:
            raise SystemExit(
                f"{self.peer} published {len(paths)} of {len(self.sources)} files; missing: {missing[:5]}"
            )


def deploys(
    plan: dict[tuple[str, int], dict[str, int]], folders: dict[str, Path], s3: Server
) -> tuple[Runs, int]:
    """Run the plan, alternating the peers; return the figures and the number of the admin's files."""
    runs: Runs = defaultdict(list)
    admin = 0
    for tree in TREES:
        delays = {delay: rounds for (of, delay), rounds in plan.items() if of == tree}
        if not any(delays.values()):
            continue
        projects = {peer: Project(peer, folder, tree, s3) for peer, folder in folders.items()}
        for peer, project in projects.items():
            if tree == "small":  # reads the environment's files into the machine's cache
                project.run("first", 0)
            admin = len(project.sources) - sum(path.is_file() for path in project.static.rglob("*"))
            assert peer == project.peer
        for delay, rounds in delays.items():
            for number in range(max(rounds.values(), default=0)):
                for peer, project in projects.items():
                    if number >= rounds.get(peer, 0):
                        continue
                    for step in STEPS:
                        run = project.run(step, delay)
                        runs[tree, delay, step, peer].append(run)
                        say(
                            f"{tree:6}{delay:4} ms  {peer:13}{step:10}{run.requests:6} requests"
                            f"{run.uploads:6} uploads{run.sent / 1e6:8.2f} MB"
                            f"{run.seconds:8.2f} s{run.cpu:7.2f} s of CPU{run.memory / 1e6:6.0f} MB peak"
                            f"  server {run.server:.0%} busy"
                        )
    return runs, admin


def site_environment(uv: str) -> Path:
    """Create the environment of a generated project, and return its Python."""
    # The template's pyproject.toml is a Jinja template, so read a rendered one.
    rendered = ROOT / "tests" / "golden" / "django-5.2" / "pyproject.toml"
    packages = tomllib.loads(rendered.read_text(encoding="utf-8"))["project"]["dependencies"]
    folder, constraints = WORK / "site", ROOT / "tests" / "constraints.txt"
    python, note = folder / "venv" / "bin" / "python", folder / "packages.txt"
    wheel = library_wheel()
    told = [sys.executable, *packages, digest_of(wheel), constraints.read_text(encoding="utf-8")]
    wanted = "\n".join(told)
    if not note.exists() or note.read_text(encoding="utf-8") != wanted:
        say(f"a site: installing {', '.join(packages)}")
        subprocess.run([uv, "venv", "--quiet", "--clear", "-p", sys.executable, folder / "venv"], check=True)
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "-p", python, "-c", constraints]
        install += ["--find-links", wheel.parent, "--reinstall-package", "django-s3-kit"]
        subprocess.run([*install, *packages], check=True)
        note.write_text(wanted, encoding="utf-8")
    return python


def links(folders: dict[str, Path], rounds: int) -> dict[str, list[list[float]]]:
    """Return the microseconds per signed link, by title: a list of pages for each process."""
    ways = {
        "django-s3-kit": ("ours", "storage"),
        "django-storages": ("manifest", "storage"),
        "boto3 alone": ("manifest", "boto3"),
    }
    taken: dict[str, list[list[float]]] = defaultdict(list)
    for _ in range(rounds):
        for title, (peer, way) in ways.items():
            folder = folders[peer]
            done = subprocess.run(
                [folder / "venv" / "bin" / "python", "links.py", way],
                cwd=folder / "project",
                env=variables(peer, "http://127.0.0.1:9"),
                stdout=subprocess.PIPE,
                check=True,
            )
            pages = json.loads(done.stdout)
            taken[title].append(pages)
            say(f"links  {title:16}{statistics.median(pages[1:]):7.1f} µs per link")
    return taken


def upload(size: int, uv: str) -> list[list[str]]:
    """Return the rows of the table of uploads. `size` is that of the largest, in MB."""
    python = site_environment(uv)
    with server() as s3:  # a new one: the first holds the published files
        rows = uploads.rows(uploads.measure(s3.url, uploads.cases(size), str(python)))
    for row in rows:
        say("  ".join(row))
    return rows


# ------------------------------------------------------------------------------------------------- the tables


def spread(values: Iterable[float], form: str) -> str:
    """Return the median, and the minimum and maximum in brackets if they differ when formatted."""
    values = list(values)
    low, high = format(min(values), form), format(max(values), form)
    middle = format(statistics.median(values), form)
    return middle if low == high else f"{middle} ({low}-{high})"


def table(head: list[str], rows: list[list[str]], *, texts: int) -> str:
    """Return a Markdown table. The columns after the first `texts` are aligned right."""
    lines = [head, ["---" if number < texts else "---:" for number in range(len(head))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def deploy_table(runs: Runs, tree: str, delays: list[int]) -> str:
    """Return the table of a tree. All columns but the seconds cover all delays together."""
    rows = []
    for step, what in STEPS.items():
        for peer, (title, _) in PEERS.items():
            cells = {delay: runs.get((tree, delay, step, peer), []) for delay in delays}
            together = [run for cell in cells.values() for run in cell]
            if not together:
                continue
            rows.append(
                [
                    what,
                    title,
                    spread((run.requests for run in together), ",.0f"),
                    spread((run.uploads for run in together), ",.0f"),
                    spread((run.sent / 1e6 for run in together), ".1f"),
                    spread((run.memory / 1e6 for run in together), ".0f"),
                    spread((run.cpu for run in together), ".2f"),
                    *(spread((r.seconds for r in cell), ".2f") if cell else "-" for cell in cells.values()),
                ]
            )
    head = ["deploy", "with", "requests", "uploads", "MB sent", "MB memory", "s of CPU"]
    return table(head + [f"s at {delay} ms" for delay in delays], rows, texts=2)


def link_table(taken: dict[str, list[list[float]]]) -> str:
    """Return the table of signed links, with the first page of a process in its own column."""
    rows = []
    for title, processes in taken.items():
        pages = [statistics.median(pages[1:]) for pages in processes]
        rows.append(
            [
                title,
                spread(pages, ".1f"),
                f"{1e6 / statistics.median(pages):,.0f}",
                spread((pages[0] / 10 for pages in processes), ".1f"),
            ]
        )
    return table(
        ["with", "µs per link", "links per second", "ms for the first 100 of a process"], rows, texts=1
    )


def machine() -> str:
    """Return a description of this machine."""
    model = ""
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.split(":", 1)[1].strip() for line in info.open() if line.startswith("model name")]
        model = f" ({names[0]})" if names else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} cores{model}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start"
    )


def capacity(s3: Server) -> int:
    """Return the requests per second that the server can handle."""
    command = [sys.executable, "-m", "benchmarks.capacity", str(s3.port)]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, without the slowest cells: a minute or two"
    )
    parser.add_argument("--full", action="store_true", help="three rounds of every cell: hours")
    parser.add_argument("--only", help=f"some of {', '.join([*PEERS, *MORE])}, separated by commas")
    parser.add_argument("--files", choices=TREES, help="only these files")
    parser.add_argument("--delay", type=int, choices=DELAYS, help="only this delay of the server, in ms")
    parser.add_argument("--rounds", type=int, help="this many rounds of each cell")
    return parser.parse_args()


def main() -> None:
    """Measure what the command line asks for."""
    began, options = time.monotonic(), arguments()
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        raise SystemExit("uv is missing. Run `make bench`, which finds or installs it.")
    only = options.only.split(",") if options.only else [*PEERS, *MORE]
    if unknown := set(only) - {*PEERS, *MORE}:
        raise SystemExit(
            f"--only: unknown {', '.join(sorted(unknown))}. Choose from {', '.join([*PEERS, *MORE])}."
        )
    chosen = QUICK if options.quick else FULL if options.full else DEFAULT
    plan = {
        (tree, delay): {peer: options.rounds or n for peer, n in rounds.items() if peer in only}
        for (tree, delay), rounds in chosen.items()
        if options.files in {None, tree} and options.delay in {None, delay}
    }
    needed = {peer for rounds in plan.values() for peer in rounds}
    if "links" in only:
        needed |= {"ours", "manifest"}
    facts = machine()
    folders = {peer: environment(peer, uv) for peer in PEERS if peer in needed}
    with server() as s3:
        rate = capacity(s3)
        say(f"{facts}; the server handles {rate:,} requests per second")
        measured = {peer: folder for peer, folder in folders.items() if any(peer in r for r in plan.values())}
        runs, admin = deploys(plan, measured, s3) if measured else ({}, 0)
    taken = links(folders, 2 if options.quick else 5) if "links" in only else {}
    listed = []
    if "names" in only:
        rounds = 1 if options.quick else 5
        listed = names.measure(WORK / "names", site_environment(uv), [*SIZES.values(), 10], rounds)
    size = uploads.SIZE // 10 if options.quick else uploads.SIZE
    sent = upload(size, uv) if "uploads" in only else []

    out = [f"{facts}. The server alone handles {rate:,} requests per second."]
    versions = sorted({package for peer in needed for package in PEERS[peer].packages})
    if versions:
        out.append(f"{', '.join(version.replace('==', ' ') for version in versions)}.")
    for tree, what in TREES.items():
        delays = sorted({delay for of, delay, _, _ in runs if of == tree})
        if delays:
            count = admin + files.SMALL + SIZES[tree] * files.MORE
            out += [f"**`collectstatic`, {what} ({count:,} files)**", deploy_table(runs, tree, delays)]
    if runs:
        busiest = max(run.server for cell in runs.values() for run in cell)
        out.append(f"The server was busy for at most {busiest:.0%} of a run.")
    if taken:
        out += ["**Signed links**", link_table(taken)]
    if listed:
        out += ["**`s3 manifest`**", table(names.HEADING, listed, texts=0)]
    if sent:
        out += ["**Uploads**", table(uploads.HEADING, sent, texts=2)]
    sys.stdout.write("\n\n".join(out) + "\n")
    say(f"{time.monotonic() - began:.0f} s in total")


if __name__ == "__main__":
    main()
