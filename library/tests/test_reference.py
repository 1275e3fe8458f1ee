"""The reference pages match the code, and are complete."""

import ast
import re
from pathlib import Path

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from storages.backends.s3 import S3Storage

from s3kit import errors, known_errors
from s3kit.buckets import policies
from s3kit.management.commands.s3 import SUBCOMMANDS
from s3kit.options import OPTIONS, REJECTIONS
from s3kit.uploads.options import DEFAULTS
from tests.reference import DOCS, PAGES, checks, commands, doctor, settings, troubleshooting
from tests.reference.messages import PACKAGE, Source, messages, sources


@pytest.mark.parametrize("name", PAGES)
def test_reference_page_is_up_to_date(name: str) -> None:
    page = DOCS / f"{name}.md"
    assert page.read_text(encoding="utf-8") == PAGES[name](), "run `make reference`"


def test_every_django_storages_option_is_supported_or_rejected() -> None:
    known = {option.name for option in OPTIONS} | {each.name for each in REJECTIONS}
    assert S3Storage.get_default_settings(S3Storage.__new__(S3Storage)).keys() <= known


# Settings


def test_settings_page_lists_every_setting_that_the_code_reads() -> None:
    named = set(re.findall("`([A-Z][A-Z0-9_]+)`", settings.page()))
    read = settings.read_by_the_source()
    assert len(read) > 60
    assert read - named - settings.INTERNAL == set()
    # The code computes the name of the setting with the origins.
    assert {each.name for each in settings.SITE} | settings.OTHERS.keys() <= {*read, "CSRF_TRUSTED_ORIGINS"}
    assert settings.UPLOADS.keys() == DEFAULTS.keys()


@pytest.mark.parametrize(
    "code",
    [
        "from django.conf import settings\nprint(settings.SITE_NAME)",
        'from django.conf import settings\nprint(getattr(settings, "SITE_NAME", None))',
        'import os\nprint(os.environ["SITE_NAME"], os.environ.get("SITE_NAME"))',
        'from s3kit.options import conf\nprint(conf.shared(("AWS_NEW",)))',
    ],
)
def test_settings_read_by_the_source_are_found(code: str, tmp_path: Path) -> None:
    file = tmp_path / "new.py"
    file.write_text(code, "utf-8")
    assert set(settings._read_by(Source(file))) == {"AWS_NEW" if "AWS_NEW" in code else "SITE_NAME"}


# Checks


def ids_in(text: str) -> set[str]:
    return set(re.findall(r"s3kit(?:_uploads)?\.[EW]\d{3}", text))


def test_every_check_is_documented_and_tested() -> None:
    source = {name for module in PACKAGE.rglob("*checks.py") for name in ids_in(module.read_text("utf-8"))}
    assert len(source) > 30
    assert {*re.findall(r"^### (\S+)$", checks.page(), re.MULTILINE)} == source
    # Each check has a message: its own, or a description of other modules' messages.
    assert source == {*(name for name, found in checks.found().items() if found), *checks.ELSEWHERE}
    tests = "\n".join(path.read_text("utf-8") for path in (PACKAGE.parents[1] / "tests").glob("test_*.py"))
    # Some tests omit the prefix.
    short = set(re.findall(r'"([EW]\d{3})"', tests))
    assert source - ids_in(tests) - {f"s3kit.{name}" for name in short} == set()


# Commands


def test_every_subcommand_has_a_valid_example() -> None:
    assert [name for group in commands.GROUPS.values() for name in group] == list(SUBCOMMANDS)
    for name, use in commands.USES.items():
        first, *words = re.findall(r'"[^"]*"|\S+', use.example)
        assert first == name
        commands.parsers()[name].parse_args([word.strip('"') for word in words])
        assert use.role == "none" or set(use.role.split(" or ")) <= policies.ROLES.keys()
        assert set(SUBCOMMANDS[name].EXIT_CODES) >= {0, 1}


# Troubleshooting


def text_of_the_library() -> str:
    """Return all strings in the library, without the parts computed at runtime."""
    nodes = (node for source in sources() for node in ast.walk(source.tree))
    return "\n".join(str(node.value) for node in nodes if isinstance(node, ast.Constant))


def test_troubleshooting_page_quotes_real_messages() -> None:
    said = text_of_the_library()
    quoted = [each for each in (*troubleshooting.BROWSER, *troubleshooting.SERVER) if each.words]
    assert len(quoted) == 4
    for each in quoted:
        assert each.words in each.seen
        assert each.words in said


def test_troubleshooting_index_is_complete_and_fixes_are_unique() -> None:
    page = troubleshooting.page()
    index = re.findall(r"\[[^]]+\]\(#([^)]+)\)", page.partition("\n## ")[0])
    assert index == [troubleshooting.anchor(title) for title in re.findall("^### (.+)$", page, re.MULTILINE)]
    fixes = re.findall(r"^\*\*Fix:\*\* (.+)$", page, re.MULTILINE)
    assert len(fixes) == len({*fixes}) > 35


def test_doctor_page_lists_each_fix_once_per_area() -> None:
    for part in doctor.page().split("\n### "):
        fixes = re.findall(r"^  \*\*Fix:\*\* (.+)$", part, re.MULTILINE)
        assert len(fixes) == len({*fixes})


@pytest.mark.parametrize("known", known_errors.OF_S3, ids=lambda known: f"{known.codes[0]} {known.text[:20]}")
def test_commands_and_troubleshooting_page_give_the_same_fix(known: known_errors.Known) -> None:
    texts = {
        known_errors.DENIED_FOREIGN: "Access Denied",
        known_errors.DENIED_EXPLICITLY: "with an explicit deny in a policy",
        known_errors.BLOCKED: "prevented by the BlockPublicPolicy setting",
    }
    message = texts.get(known, "User is not authorized to perform: s3:GetEncryptionConfiguration")
    page = troubleshooting.page()
    for code in known.codes:
        response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {}}
        error = ClientError(response, "GetBucketEncryption")  # type: ignore[arg-type]
        line = errors.explain(error, "My_Bucket", role="ROLE")
        fix = known.fix.format(role="ROLE", suggestion="my-bucket")
        assert line.endswith(f": {fix}.")
        assert f"**Fix:** {fix[0].upper()}{fix[1:]}.".replace("my-bucket", "…") in page
        assert re.search(rf"^(?:### .*\b{code}\b|Also .*`{code}`)", page, re.MULTILINE)


def test_known_botocore_exceptions_exist() -> None:
    for known in known_errors.OF_BOTOCORE:
        assert all(issubclass(getattr(exceptions, name), exceptions.BotoCoreError) for name in known.codes)


SAMPLE = """
LIMIT = 5
def look(kind, value):
    text = f"{kind} is {value!r}"
    fix = "use less"
    if value > LIMIT:
        fix += f" than {LIMIT}"
    if not value:
        return Error("nothing here at all", hint="add some", id="x.E002")
    return Error(text, hint=fix, id="x.E001")
look("the size of it", 3)
look("the weight of it", 4)
"""


def test_messages_are_extracted_from_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sample.py"
    file.write_text(SAMPLE, "utf-8")
    monkeypatch.setattr(Source, "module", type("module", (), {"LIMIT": 5}))
    found = [
        (each.about, each.text, each.fix) for each in messages(Source(file), ("Error",), 0, "hint", "id")
    ]
    assert found == [
        ("x.E002", "nothing here at all", "add some"),
        ("x.E001", "the size of it is '3'", "use less than 5"),
        ("x.E001", "the weight of it is '4'", "use less than 5"),
    ]
