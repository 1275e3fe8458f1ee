"""The output of commands: lines that fit, optional colors, and options before and after a subcommand."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command, execute_from_command_line, get_commands, load_command_class
from django.core.management.base import CommandError, OutputWrapper

from s3kit import terminal
from s3kit.doctor import report
from s3kit.doctor.shared import Line, Status
from s3kit.management.commands.s3 import SUBCOMMANDS
from tests.ministack import MakeSite, s3_settings
from tests.processes import MANAGE, ROOT, environment

# Escape sequences for colors.
COLOR = re.compile(r"\x1b\[[0-9;]*m")


def printed(*words: str, columns: int = 100, in_terminal: bool = True, **more: str) -> str:
    """Return a command's stdout and stderr, in a terminal or to a pipe."""
    if not in_terminal:
        done = subprocess.run(
            [*MANAGE, *words],
            cwd=ROOT,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [*MANAGE, *words], cwd=ROOT, env=environment(**more), stdin=side, stdout=side, stderr=side
    ):
        os.close(side)
        got = b""
        try:
            while part := os.read(main, 65536):
                got += part
        except OSError:  # how Linux reports the end of a terminal
            pass
        finally:
            os.close(main)
    return got.decode().replace("\r\n", "\n")


# Errors in options


@pytest.mark.parametrize(
    ("words", "named", "text"),
    [
        ("s3 plan --roles x", "s3 plan", "unrecognized arguments: --roles x"),
        ("s3 doctor web", "s3 doctor", "unrecognized arguments: web"),
        ("s3 --role web policy", "s3 policy", "write --role after 'policy', not before it"),
        ("s3 -v 2 --local plan", "s3 plan", "write --local after 'plan', not before it"),
        ("s3 policy", "s3 policy", "the following arguments are required: --role"),
        ("s3 nope", "s3", "argument SUBCOMMAND: invalid choice: 'nope'"),
        ("s3 plan --a\nb\x1b[2J", "s3 plan", "unrecognized arguments: --a\\nb\\x1b[2J"),
        ("s3 policy --role=--", "s3 policy", "argument --role: expected one argument"),
        ("s3 access --start-after \udcff", "s3 access", "argument --start-after: '\\udcff' is not UTF-8"),
        ("s3 tickets --user \udcff", "s3 tickets", "argument --user: '\\udcff' is not UTF-8"),
        ("release --role x", "release", "unrecognized arguments: --role x"),
        ("collectstatic x", "collectstatic", "unrecognized arguments: x"),
    ],
)
def test_an_error_in_options_is_one_line_that_names_the_command(
    capsys: pytest.CaptureFixture[str], words: str, named: str, text: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", *words.split(" ")])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    start, end = f"manage.py {named}: error: {text}", f". For help, run `manage.py {named} --help`."
    assert (out, line[: len(start)], line[-len(end) :]) == ("", start, end)


def test_code_that_calls_a_command_gets_an_exception() -> None:
    with pytest.raises(CommandError, match="unrecognized arguments: --roles x"):
        call_command("s3", "plan", "--roles", "x")
    with pytest.raises(CommandError, match="write --local after 'plan'"):
        call_command("s3", "--local", "plan")


# Lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["  * "]),
        ("one two", ["  * one two"]),
        ("one two three four five six", ["  * one two three four", "    five six"]),
        (
            "run `manage.py s3 apply --local`, then look",
            ["  * run", "    `manage.py s3 apply --local`,", "    then look"],
        ),
        (
            "s3://acme-media/media/photos/a.jpg",
            ["  * s3://acme-media/", "    media/photos/a.jpg"],
        ),
        ("x" * 50, [f"  * {'x' * 20}", f"    {'x' * 20}", f"    {'x' * 10}"]),
        ("\x1b[31;1mone two\x1b[0m three four five", ["  * \x1b[31;1mone two\x1b[0m three four", "    five"]),
    ],
)
def test_wrap(text: str, lines: list[str]) -> None:
    assert terminal.wrap(text, "  * ", width=24) == lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_long_messages_are_wrapped_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    text = "a  table   of columns\n\n  a line that is longer than thirty columns\nend"
    assert terminal.wrapped(text, OutputWrapper(Terminal())) == (
        "a  table   of columns\n\n  a line that is longer than\n    thirty columns\nend"
    )
    assert terminal.wrapped(text, OutputWrapper(io.StringIO())) == text


def test_lines_have_at_most_100_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    assert terminal.columns() == 100


LONG = "acme-with-a-name-as-long-as-s3-allows-which-is-sixty-three-char"


def test_errors_are_wrapped_without_breaking_commands(tmp_path: Path) -> None:
    words, folder = ("s3", "plan", "--local"), {"TEST_FOLDER": str(tmp_path)}
    text = printed(*words, "--no-color", columns=60, **folder)
    assert text.startswith("CommandError: The local S3 server is not running")
    assert max(map(len, text.splitlines())) <= 60
    assert "`python manage.py s3 serve`" in text
    piped = printed(*words, in_terminal=False, **folder)
    assert len(piped.splitlines()) == 1
    assert piped.split() == text.split()


@pytest.mark.parametrize("name", ["collectstatic", "release", "s3", *(f"s3 {name}" for name in SUBCOMMANDS)])
def test_help_fits_100_columns_and_lists_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")  # argparse's own colors, since Python 3.14
    command, *subcommand = name.split()
    loaded = load_command_class(get_commands()[command], command)
    with pytest.raises(SystemExit, match="0"):
        loaded.run_from_argv(["manage.py", command, *subcommand, "--help"])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert ("xit codes: 0 " in text) == (name not in {"collectstatic", "s3"})
    assert not re.search(r"^ +--?\w.*  [a-z]", text.replace("show this help", "Show this help"), re.MULTILINE)


# Colors


def test_terminal_output_is_colored_unless_disabled(tmp_path: Path) -> None:
    folder = {"TEST_FOLDER": str(tmp_path)}
    words = ("s3", "plan", "--local")  # fails, because no server is running
    assert COLOR.search(printed(*words, **folder))
    assert not COLOR.search(printed(*words, NO_COLOR="1", **folder))
    assert not COLOR.search(printed(*words, "--no-color", **folder))
    assert not COLOR.search(printed(*words, in_terminal=False, **folder))


@pytest.fixture
def unprepared(s3_site: MakeSite, act_as: Any) -> None:
    site = s3_site(prepared=False)
    act_as(site.store.root)


@pytest.mark.usefixtures("unprepared")
def test_other_output_is_colored_only_if_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    for words, colored in (
        (["plan"], False),
        (["plan", "--force-color"], True),
        (["plan", "--no-color"], False),
        (["--force-color", "plan"], True),
    ):
        out = io.StringIO()
        with pytest.raises(SystemExit, match="2"):
            call_command("s3", *words, stdout=out)
        assert bool(COLOR.search(out.getvalue())) == colored, words
        assert max(len(COLOR.sub("", line)) for line in out.getvalue().splitlines()) <= 100
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    with pytest.raises(SystemExit, match="2"):
        call_command("s3", "plan", "--force-color", stdout=out)
    assert COLOR.search(out.getvalue())


def test_common_options_work_before_and_after_the_subcommand(settings: Any) -> None:
    s3_settings(settings)
    parser = load_command_class("s3kit", "s3").create_parser("manage.py", "s3")
    for words in (["--verbosity", "2", "plan"], ["plan", "--verbosity", "2"], ["plan", "-v2"]):
        assert parser.parse_args(words).verbosity == 2
    assert parser.parse_args(["plan"]).verbosity == 1
    given = parser.parse_args(["plan", "--traceback", "--no-color", "--settings", "a.b", "--pythonpath", "c"])
    assert (given.traceback, given.no_color, given.force_color) == (True, True, False)
    assert (given.settings, given.pythonpath) == ("a.b", "c")


# The doctor's report


def line(probe: str, status: Status = "ok", text: str = "text", fix: str = "", storage: str = "") -> Line:
    return Line(probe=probe, status=status, text=text, fix=fix, storage=storage)


SEEN = [
    line("endpoint"),
    line("media write"),
    line("media cors", "not ok", "no page can read uploads", "run `manage.py s3 apply`"),
    line("media cors", "ok", storage="avatars"),
    line("outside", "warning", "too many rights", "take them away"),
    line("static cors", "not ok", "no page can load fonts", "run `manage.py s3 apply`"),
    line("manifest", "not ok", "there is none", "run `manage.py collectstatic`"),
    line("account block", "can't tell", "no right to look"),
]


def test_report_lists_failures_first_and_groups_them_by_fix() -> None:
    text = report.Report(None, SEEN, ["static files as visitors see them"]).as_text()
    assert text.splitlines() == [
        "Not ok",
        "  media cors       no page can read uploads",
        "  static cors      no page can load fonts",
        "                   Fix: run `manage.py s3 apply`.",
        "  manifest         there is none",
        "                   Fix: run `manage.py collectstatic`.",
        "",
        "Warnings",
        "  outside          too many rights",
        "                   Fix: take them away.",
        "",
        "Can't tell",
        "  account block    no right to look",
        "",
        "Not probed, because it depends on a failed probe",
        "  static files as visitors see them",
        "",
        "Ok",
        "  Connection       endpoint",
        "  Uploads          media write, media cors",
        "",
        "3 not ok (media cors, static cors, manifest), 1 warning, 1 can't tell, 3 ok.",
    ]


def test_verbosity_controls_details_of_ok_lines() -> None:
    made = report.Report(None, SEEN, [])
    verbose = made.as_text(verbosity=2).partition("\nOk\n")[2]
    assert verbose.splitlines() == [
        "",
        "  Connection",
        "    endpoint         text",
        "",
        "  Uploads",
        "    media write      text",
        "    media cors       avatars: text",
        "",
        "3 not ok (media cors, static cors, manifest), 1 warning, 1 can't tell, 3 ok.",
    ]
    quiet = made.as_text(verbosity=0)
    assert "\nOk\n" not in quiet
    assert quiet.endswith("3 ok.")


def test_summary_names_only_the_first_failures() -> None:
    lines = [line(f"media {name}", "not ok") for name in "abcde"]
    assert (
        report.Report(None, lines, []).as_text().endswith("\n5 not ok (media a, media b, media c, 2 more).")
    )


def test_report_is_colored_by_status() -> None:
    text = report.Report(None, SEEN, []).as_text(lambda status, part: f"<{status}>{part}</>")
    headings = [part for part in text.splitlines() if part.startswith("<")]
    assert headings == [
        "<not ok>Not ok</>",
        "<warning>Warnings</>",
        "<can't tell>Can't tell</>",
        "<ok>Ok</>",
        "<not ok>3 not ok (media cors, static cors, manifest), 1 warning, 1 can't tell, 3 ok.</>",
    ]
    assert "<ok>Fix:</> run" in text


@pytest.mark.parametrize("width", [60, 100])
def test_report_lines_fit_the_width(width: int) -> None:
    text = f"arn:aws:s3:::{LONG}/{'long-folder/' * 20}*"
    lines = [line("media write", status, text, text if status != "ok" else "") for status in ("ok", "not ok")]
    lines += [line(f"static {name}") for name in ("objects", "visitors", "encoding", "types", "cache", "tls")]
    made = report.Report(None, lines, [f"uploads ({LONG}, {LONG})"])
    for verbosity in (1, 2):
        assert max(map(len, made.as_text(width=width, verbosity=verbosity).splitlines())) <= width


@pytest.mark.parametrize(
    ("area", "probes"),
    [
        (
            "Connection",
            ["endpoint", "clock", "credentials", "server", "bucket", "static bucket", "media domain"],
        ),
        ("Uploads", ["media write", "missing key", "if-none-match", "expired link", "signed cookies"]),
        ("Direct uploads", ["direct put"]),
        ("Static files", ["static cors", "manifest", "collectstatic"]),
        ("Rights", ["bucket grants", "bucket owner", "listing", "outside", "account block"]),
    ],
)
def test_probes_are_grouped_by_area(area: str, probes: list[str]) -> None:
    assert {report.area(probe) for probe in probes} == {area}
