"""What the documents say of commands, settings and output is what the code has."""

import re
import shlex
from argparse import ArgumentParser, _SubParsersAction
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.credentials import AssumeRoleWithWebIdentityProvider, EnvProvider
from django.conf import settings

from config.management.commands import release
from s3 import buckets, checks, plan, policies, prune, push, show
from s3.account import Account
from s3.management.commands.s3 import Command
from s3.site import Site
from tests.test_readme import variables_that_settings_read

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
AWS = (ROOT / "docs" / "aws.md").read_text("utf-8")

# The site of docs/aws.md.
SITE = Site("eu-central-1", "acme-static", "acme-media", origins=("https://www.example.com",))

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def code(text: str) -> list[str]:
    """Return what stands in code: the lines of the blocks, and the spans."""
    blocks = re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^ *```[a-z]*\n.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*(line for block in blocks for line in block.splitlines()), *re.findall(r"`([^`\n]+)`", rest)]


def block_after(line: str) -> list[str]:
    """Return the lines of the block of docs/aws.md whose first line is given, without that one."""
    found = re.search(rf"^```console\n{re.escape(line)}\n(.*?)^```", AWS, re.MULTILINE | re.DOTALL)
    assert found, line
    return found[1].splitlines()


def subcommands() -> dict[str, ArgumentParser]:
    parser = Command().create_parser("manage.py", "s3")
    (found,) = (action for action in parser._actions if isinstance(action, _SubParsersAction))
    return dict(found.choices)


def commands(text: str) -> list[list[str]]:
    """Return the words of every `manage.py s3 ...`, up to a comment or what the shell takes."""
    found = [re.findall(r"manage\.py s3 (.*)", part) for part in code(text)]
    return [shlex.split(re.split(r" [#>|;&]|\.\.\.", words)[0]) for each in found for words in each]


def wrong_options(parser: ArgumentParser, words: list[str]) -> list[str]:
    wrong = []
    for number, word in enumerate(words):
        option: Any = parser._option_string_actions.get(word)
        if word.startswith("-") and option is None:
            wrong.append(word)
        elif option is not None and option.choices and words[number + 1 : number + 2]:
            wrong += [value for value in [words[number + 1]] if value not in option.choices]
    return wrong


@each_document
def test_every_command_exists_with_its_options(document: Path) -> None:
    known = subcommands()
    for subcommand, *words in filter(None, commands(document.read_text("utf-8"))):
        assert subcommand in known, (document.name, subcommand)
        assert not wrong_options(known[subcommand], words), (document.name, subcommand, words)


def test_the_walk_has_every_command_of_a_deploy() -> None:
    assert {words[0] for words in commands(AWS) if words} >= {
        *("policy", "plan", "apply", "doctor", "prune", "push")
    }


def variables_of_boto3() -> set[str]:
    """Return the variables that boto3 itself reads, as it lists them."""
    listed = [names for _key, names, *_rest in BOTOCORE_DEFAUT_SESSION_VARIABLES.values() if names]
    own = {name for names in listed for name in (names if isinstance(names, list) else [names])}
    keys = {EnvProvider.ACCESS_KEY, EnvProvider.SECRET_KEY, *EnvProvider.TOKENS}
    # AWS_REGION is the AWS CLI's, and s3.checks looks at it.
    role = AssumeRoleWithWebIdentityProvider._CONFIG_TO_ENV_VAR.values()
    return (
        own
        | keys
        | {*role, "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"}
        | {"AWS_REGION"}
    )


@each_document
def test_every_setting_exists(document: Path) -> None:
    known = variables_that_settings_read() | variables_of_boto3() | {"DJANGO_ENV_FILE"}
    for part in code(document.read_text("utf-8")):
        for name in re.findall(r"\b(?:AWS|DJANGO|USE|DATABASE|EMAIL|STATICFILES)_[A-Z0-9_]+\b", part):
            assert name in known or hasattr(settings, name), (document.name, name)


def test_what_is_said_of_release() -> None:
    parser = release.Command().create_parser("manage.py", "release")
    texts = [document.read_text("utf-8") for document in DOCUMENTS]
    words = [
        shlex.split(found)
        for text in texts
        for found in re.findall(r"manage\.py release ([^`#\n'\"]*)", text)
    ]
    assert any(words)
    assert not [option for each in words for option in wrong_options(parser, each)]
    running = (ROOT / "docs" / "running.md").read_text("utf-8")
    own = {option for action in parser._actions for option in action.option_strings}
    assert own >= set(re.findall(r"`(--[a-z-]+)", running))
    listed = {int(code) for code in re.findall(r"^\| (\d) \|", running, re.MULTILINE)}
    assert listed == {0, release.CHECKS, release.STATIC, release.DATABASE, release.BUSY}


@each_document
def test_every_check_exists(document: Path) -> None:
    known = set(re.findall(r'id="(s3\.[EW]\d+)"', Path(checks.__file__).read_text("utf-8")))
    assert known >= set(re.findall(r"`(s3\.[EW]\d+)`", document.read_text("utf-8")))


@each_document
def test_every_address_within_a_document_leads_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert anchors >= set(re.findall(r"\]\(#([^)]+)\)", text))


def test_the_table_of_errors() -> None:
    table = AWS.partition("## Errors")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 15
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in rows)
    assert len({row[0] for row in rows}) == len(rows)


def test_the_output_of_plan_is_what_plan_prints() -> None:
    found = [plan.compare(bucket, None, Account("1", {}), replace=False) for bucket in buckets.wanted(SITE)]
    printed = show.as_text(SITE, found).splitlines()
    shown = block_after("$ manage.py s3 plan")
    assert len(shown) > 20
    for line in shown:
        start, cut, _ = line.partition("...")
        assert any(real.startswith(start) if cut else real == line for real in printed), line


def test_the_output_of_prune_is_what_prune_prints() -> None:
    old = datetime(2026, 8, 2, tzinfo=UTC)
    found = [prune.Object(f"static/{number}.css", 1000, old) for number in range(21)]
    found[0] = prune.Object("static/site/site.6f86a211b1b1.css", 2022, old)
    found[1] = prune.Object("static/1.css", 215_015 - 2022 - 19 * 1000, old)
    needed = prune.Needed({str(number) for number in range(302)}, {str(number) for number in range(10)}, None)
    told = prune.Report("acme-static", 10, 30, delete=False, needed=needed, found=found)
    done = replace(told, delete=True, removed=21, removed_bytes=215_015)
    shown = block_after("$ manage.py s3 prune")
    end = shown.index("$ manage.py s3 prune --delete")
    assert shown[end + 1 :] == done.as_text().splitlines()
    assert shown[end - 3 : end - 1] == told.as_text().splitlines()[-2:]
    assert told.as_text().splitlines()[0] in shown


def test_the_output_of_push_is_what_push_prints() -> None:
    told = push.Report(
        "acme-media",
        dry_run=True,
        verify=False,
        files=10_003,
        uploaded=10_003,
        bytes=670_105_600,
        seconds=12.2,
    )
    done = replace(told, dry_run=False, seconds=147.7)
    shown = block_after("$ manage.py s3 push --source /srv/old-site/media --dry-run")
    assert shown == [told.as_text(), "$ manage.py s3 push --source /srv/old-site/media", done.as_text()]


def test_the_policy_of_web_is_what_policy_prints() -> None:
    printed = policies.explained(policies.web(SITE)).splitlines()
    after = AWS.partition("`manage.py s3 policy --role web --explain`:")[2]
    shown = after.split("```")[1].splitlines()[1:]
    assert [line for line in printed if "//" in line or "Resource" in line] == shown
