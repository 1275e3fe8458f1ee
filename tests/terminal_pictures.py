"""The pictures in docs/terminal: the output of commands in a terminal, on a local S3 server behind TLS.

Run `make pictures` after a change to the output, and commit the result.
"""

import fcntl
import json
import os
import pty
import random
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from s3kit.local.server import LocalServer, running

from tests.answers import ROOT
from tests.machine import clean_environment

PICTURES = ROOT / "docs" / "terminal"
COLUMNS = 100
SITE = "https://www.example.com"

BACKGROUND, FOREGROUND = (22, 27, 34), (201, 209, 217)
_COLORS = [
    (110, 118, 129),
    (255, 123, 114),
    (86, 211, 100),
    (227, 179, 65),
    (121, 192, 255),
    (210, 168, 255),
    (86, 212, 221),
    (201, 209, 217),
]
THEME = TerminalTheme(BACKGROUND, FOREGROUND, _COLORS)

# rich's own format loads a font from another host.
SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font: {char_height}px/{line_height}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}}
.{unique_id}-title {{ font: 600 17px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; opacity: 0.7 }}
{styles}
</style>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def drawn(name: str, printed: str) -> str:
    """Return a terminal's content, with colors, as an SVG."""
    console = Console(
        record=True, width=COLUMNS + 2, file=StringIO(), color_system="standard", force_terminal=True
    )
    lines = [*printed.rstrip().split("\n"), ""]
    console.print(Text.from_ansi("\n".join(f" {line}" for line in lines)), soft_wrap=True, highlight=False)
    title = Text.from_ansi(lines[0]).plain.removeprefix("$ ")
    svg = console.export_svg(
        title=title, theme=THEME, code_format=SVG, unique_id=name, font_aspect_ratio=0.602
    )
    # One element per line for reviews, without the unnecessary clip paths.
    svg = re.sub(r' clip-path="[^"]*"', "", svg).replace("</text><", "</text>\n<")
    return re.sub(r"[ \t]+$", "", re.sub(r"\n\s+", "\n", svg), flags=re.MULTILINE)


@dataclass(frozen=True)
class Shell:
    """A shell in a site's folder."""

    folder: Path
    store: LocalServer
    environment: dict[str, str]

    def __call__(self, *words: str, typed: str = "", **more: str) -> str:
        """Return what a terminal shows for a command of manage.py; `typed` answers its prompt."""
        main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "django", *words],
            cwd=ROOT,
            env=self.environment | more,
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
        )
        os.close(side)
        printed = b""
        try:
            while part := _read(main):
                printed += part
                if typed and printed.endswith(b"] "):
                    os.write(main, f"{typed}\n".encode())
                    typed = ""
        finally:
            os.close(main)
            process.wait(60)
        command = f"\x1b[1m$ manage.py {' '.join(words)}\x1b[0m"
        return f"{command}\n{_seen(printed.decode())}\n"

    def plain(self, *words: str) -> str:
        """Return a command's output to a pipe."""
        command = [sys.executable, "-m", "django", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True
        ).stdout


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux reports the end of a terminal
        return b""


def _seen(printed: str) -> str:
    """Return the final screen content, without overwritten text. Replace ports and seconds, which vary."""
    lines = [line.rpartition("\r")[2] for line in printed.replace("\r\n", "\n").split("\n")]
    text = "\n".join(re.sub(r"\x1b\[(\?\d+[hl]|K)", "", line) for line in lines)
    text = re.sub(r"127\.0\.0\.1:\d+", "s3.example.com", text)
    return re.sub(r" in \d+\.\d s", " in 0.4 s", text).rstrip()


@contextmanager
def shell() -> Iterator[Shell]:
    """Yield a shell with an administrator's credentials for an S3 server without buckets."""
    path = ROOT / "library" / "tests" / "tls_front.py"
    spec = spec_from_file_location("tls_front", path)
    assert spec
    assert spec.loader
    tls = module_from_spec(spec)
    spec.loader.exec_module(tls)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "s3"
        data.mkdir()
        trusted, served = tls.certificate(folder)
        with (
            running(data, region="eu-central-1", guarding={"GUARD_ORIGINS": "*"}) as store,
            tls.tls_front(store.endpoint, served) as host,
        ):
            environment = clean_environment(
                TERM="dumb",
                DJANGO_SETTINGS_MODULE="tests.terminal_site",
                PICTURES_FOLDER=name,
                PICTURES_ENDPOINT=f"https://{host}",
                PICTURES_ORIGINS=SITE,
                AWS_CA_BUNDLE=str(trusted),
                AWS_ACCESS_KEY_ID=store.root.id,
                AWS_SECRET_ACCESS_KEY=store.root.secret,
                AWS_EC2_METADATA_DISABLED="true",
            )
            for variable in ("COLUMNS", "LINES", "NO_COLOR"):
                environment.pop(variable, None)
            yield Shell(folder, store, environment)


def _static_files(folder: Path) -> None:
    """Write static files that compression doesn't shrink, because zlib's output differs between machines."""
    noise = random.Random(7)
    for number in range(40):
        name = f"pictures/{number}.png" if number % 2 else f"fonts/{number}.woff2"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(noise.randbytes(7_000 + number))
    (folder / "site.css").write_text("p {}")


def scenes() -> Iterator[tuple[str, str]]:
    """Yield the name of each picture, and what its terminal shows."""
    with shell() as run:
        yield "plan", run("s3", "plan")
        run("s3", "apply", typed="y", PICTURES_ORIGINS="")
        yield "apply", run("s3", "apply", typed="y")
        _static_files(run.folder / "static")
        first = run("collectstatic", "--no-input")
        (run.folder / "static" / "site.css").write_text("a {}")
        yield "collectstatic", f"{first}\n{run('collectstatic', '--no-input')}"
        _break(run.store.client())
        policies = [json.loads(run.plain("s3", "policy", "--role", role)) for role in ("web", "deploy")]
        key = run.store.site_key(*policies)
        yield "doctor", run("s3", "doctor", AWS_ACCESS_KEY_ID=key.id, AWS_SECRET_ACCESS_KEY=key.secret)


def _break(s3: Any) -> None:
    """Misconfigure a bucket, as in the AWS console: make uploads public, and delete the CORS rules."""
    s3.delete_bucket_cors(Bucket="acme-static")
    s3.delete_public_access_block(Bucket="acme-media")
    policy = json.loads(s3.get_bucket_policy(Bucket="acme-media")["Policy"])
    policy["Statement"].append(
        {
            "Sid": "Test",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::acme-media/*",
        }
    )
    s3.put_bucket_policy(Bucket="acme-media", Policy=json.dumps(policy))


def pictures() -> dict[str, str]:
    """Return the current pictures by file name."""
    return {f"{name}.svg": drawn(name, printed) for name, printed in scenes()}


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name, svg in pictures().items():
        (PICTURES / name).write_text(svg, encoding="utf-8")
