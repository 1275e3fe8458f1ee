"""The page on commands, generated from their parsers."""

import argparse
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.core.management import load_command_class

from s3kit.management.commands.release import EXIT_CODES
from s3kit.management.commands.s3 import SUBCOMMANDS
from tests.reference.messages import prose

HEAD = """# Commands

Run them with `python manage.py`. The role is the IAM role whose permissions a command needs: `manage.py s3 policy
--role ROLE` prints its policy. With `--local`, a command uses the local S3 server and needs no role.

| command | what it does | role |
|---|---|---|
"""

COMMON = """
All commands have Django's own options, such as `--verbosity` and `--settings`, before or after the subcommand. Wrong
options end a command with exit code 2.

Output for people has at most 100 columns, and colors only on a terminal; `--no-color` or the environment variable
`NO_COLOR` turns them off. In a pipe, each message is on one line. Programs read the output of `--json`.

The commands of the first group, and `push`, `access`, and `prune`, use the real target even with `USE_S3 = "local"`.
With `USE_S3 = False` they end with exit code 1.
"""


class Use(NamedTuple):
    """How to use a subcommand of `s3`: the role that runs it, an example, and what else matters."""

    role: str
    example: str
    more: str = ""


GROUPS = {
    "Set up and test": ("plan", "apply", "doctor", "policy"),
    "Manage files": ("push", "access", "prune", "tickets", "manifest"),
    "Local S3 server": ("serve", "run"),
}

USES = {
    "plan": Use(
        "setup or deploy",
        "plan --json",
        "[`s3 apply`](#s3-apply) makes the changes. `--format cloudformation` prints a [template](cloudformation.md).",
    ),
    "apply": Use(
        "setup", "apply --no-input", "It shows the plan, asks, makes the changes, and reads them back."
    ),
    "doctor": Use(
        "web or deploy",
        "doctor --role web",
        "It writes small objects and deletes them again. [All lines](doctor.md#s3-doctor).",
    ),
    "policy": Use("none", "policy --role web", "Attach the output to the IAM role or user."),
    "push": Use(
        "web", "push --dry-run", "Run it again after an interruption: it copies only what is missing."
    ),
    "access": Use("access", "access --dry-run", "Only storages with the access `public-read` have ACLs."),
    "prune": Use("prune", "prune --days 60 --delete", "It is safe during a deploy. Run it weekly."),
    "tickets": Use(
        "web",
        "tickets --clean",
        "It needs the database and [direct uploads](uploads.md). `release` cleans up, too.",
    ),
    "manifest": Use(
        "none", "manifest --output staticfiles.json", "Run it while you [build an image](deploy.md)."
    ),
    "serve": Use(
        "none",
        "serve --port 9001",
        "The server is MiniStack. The first run installs it into the user's cache, apart from the site's packages;"
        " `python -m s3kit.local install` does so ahead of time.",
    ),
    "run": Use(
        "none",
        'run --first "loaddata demo"',
        "It migrates the database first. Without `--no-debug` it starts `runserver`.",
    ),
}

DJANGO = {
    "help",
    "version",
    "verbosity",
    "settings",
    "pythonpath",
    "traceback",
    "no_color",
    "force_color",
} | {"skip_checks"}

OTHERS = {
    "collectstatic": ("Collect static files, and publish them if they are on S3.", "deploy"),
    "release": (
        "Run the deployment checks, publish static files, and apply migrations before a new version takes traffic.",
        "deploy",
    ),
    "test": ("Run the tests without a request to S3.", "none"),
}

COLLECTSTATIC = """
It has the options of [Django's command](https://docs.djangoproject.com/en/stable/ref/contrib/staticfiles/#collectstatic).
With static files on S3:

- It does not ask, because it never overwrites or deletes a file that is in use.
- `--dry-run` lists the files that it would upload.
- `--no-post-process` uploads no manifest.
- `--clear` and `--link` are errors. Use [`s3 prune`](#s3-prune).

If `USE_S3` is off and `AWS_STATIC_BUCKET_NAME` or `AWS_STORAGE_BUCKET_NAME` is set, it warns that it published nothing.
Exit codes: 0 published, 1 failed. After a failure the site still serves the previous files. [Static
files](static-files.md) says what it does.
"""

TEST = """
It has the options of [Django's command](https://docs.djangoproject.com/en/stable/ref/django-admin/#test). Whatever the
settings and `TEST_RUNNER` are, storages keep their files in a temporary folder. pytest does the same with
`s3kit.testing`.
"""


def parsers() -> Mapping[str, argparse.ArgumentParser]:
    """Return the parsers of the subcommands of `s3`."""
    parser = load_command_class("s3kit", "s3").create_parser("manage.py", "s3")
    (found,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return found.choices


def page() -> str:
    """Return the page."""
    lines = [HEAD.rstrip()]
    for names in GROUPS.values():
        lines += [f"| [`s3 {n}`](#s3-{n}) | {_prose(SUBCOMMANDS[n].HELP)} | {USES[n].role} |" for n in names]
    lines += [f"| [`{name}`](#{name}) | {text} | {role} |" for name, (text, role) in OTHERS.items()]
    lines.append(COMMON)
    for group, names in GROUPS.items():
        lines += [f"## {group}", ""]
        for name in names:
            subcommand, use = SUBCOMMANDS[name], USES[name]
            lines += [f"### s3 {name}", "", f"{_prose(subcommand.HELP)} {use.more}", ""]
            lines += [*_synopsis(f"s3 {name}", parsers()[name]), *_options(parsers()[name])]
            lines += [_codes(subcommand.EXIT_CODES), "", f"Example: `python manage.py s3 {use.example}`", ""]
    release = load_command_class("s3kit", "release").create_parser("manage.py", "release")
    lines += ["## Deploy and test", "", "### collectstatic", COLLECTSTATIC, "### release", ""]
    lines += [
        f"{OTHERS['release'][0]} It stops at the first failure. [Run the site](running.md) says more.",
        "",
    ]
    lines += [*_synopsis("release", release), *_options(release), _codes(EXIT_CODES), ""]
    lines += ["Example: `python manage.py release --wait 60`", "", "### test", TEST]
    return "\n".join(lines)


def _own(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [each for each in parser._actions if each.dest not in DJANGO]


def _synopsis(command: str, parser: argparse.ArgumentParser) -> list[str]:
    parts = [f"python manage.py {command}"]
    for action in _own(parser):
        text = _named(action, action.option_strings[-1] if action.option_strings[0][1] != "-" else "")
        parts.append(text if action.required else f"[{text}]")
    lines, line = list[str](), ""
    for part in parts:
        if line and len(f"{line} {part}") > 88:
            lines.append(line)
            line = f"   {part}"
        else:
            line = f"{line} {part}" if line else part
    return ["```text", *lines, line, "```", ""]


def _named(action: argparse.Action, name: str = "") -> str:
    """Return an option with its value, as in the help."""
    value: Any = action.metavar or (
        "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
    )
    many = f"[{value} ...]" if action.nargs == "*" else value
    return f"{name or action.option_strings[0]}{'' if action.nargs == 0 else f' {many}'}"


def _options(parser: argparse.ArgumentParser) -> list[str]:
    if not _own(parser):
        return []
    lines = ["| option | meaning |", "|---|---|"]
    for action in _own(parser):
        text = _prose((action.help or "") % vars(action))
        value = f" {action.metavar or action.dest.upper()}" if action.nargs != 0 else ""
        names = ", ".join(f"`{each}{value}`" for each in action.option_strings if each != "--noinput")
        lines.append(f"| {names} | {text} |")
    return [*lines, ""]


def _prose(text: str) -> str:
    """Return a sentence of the help as Markdown, with options as code."""
    return prose(re.sub(r"(?<![\w`])--[a-z-]+( json)?", r"`\g<0>`", text))


def _codes(codes: Mapping[int, str]) -> str:
    return f"Exit codes: {', '.join(f'`{code}` {meaning}' for code, meaning in codes.items())}."
