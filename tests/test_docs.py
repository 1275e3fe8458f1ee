"""Links and paths in the documents exist, and the steps of docs/add-a-prompt.md work on a copy."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import screenshots, secret_scan
from tests.answers import PROJECT, ROOT
from tests.installed import Installed
from tests.machine import commit, run
from tests.pages import blocks, follow

DOCUMENTS = [
    ROOT / name for name in sorted(secret_scan.tracked()) if re.fullmatch(r"(?!tests/golden/).*\.md", name)
]


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def prose(document: Path) -> str:
    """Return a document without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text_of(document), flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(document: Path) -> list[str]:
    """Return the broken links to files and their headings."""
    dead = []
    for link in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", prose(document)):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_in_documents_work(document: Path) -> None:
    assert dead_links(document) == []


def test_dead_links_are_detected(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "# One heading\n\n[1](#one-heading) [2](b.md) [3](#two) [4](a.md#one)\n", "utf-8"
    )
    assert dead_links(tmp_path / "a.md") == ["b.md", "#two", "a.md#one"]


def test_each_screenshot_is_in_a_document_and_taken_by_a_test() -> None:
    committed = {path.name for path in screenshots.IMAGES.glob("*.webp")}
    assert committed == {f"{name}{dark}.webp" for name in screenshots.PICTURES for dark in ("", "-dark")}
    shown = "".join(map(text_of, DOCUMENTS))
    taken = "".join(map(text_of, (ROOT / "tests").glob("test_*.py")))
    for name in screenshots.PICTURES:
        assert f"images/{name}.webp" in shown
        assert f'screenshots.take(page, "{name}")' in taken


def test_gallery_uses_only_what_the_uploads_page_shows() -> None:
    page = text_of(ROOT / "docs" / "uploads.md")
    used = {
        alias.name.rpartition(".")[2]
        for file in (PROJECT / "gallery").rglob("*.py")
        for node in ast.walk(ast.parse(text_of(file)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).split(".")[0] == "s3kit"
    }
    assert used
    assert {name for name in used if not re.search(rf"\b{name}\b", page)} == set()


HOW = ROOT / "docs" / "how-it-is-built.md"


def rows(heading: str) -> set[str]:
    """Return the folders and files in the table after a line of docs/how-it-is-built.md."""
    table = text_of(HOW).partition(heading)[2].partition("\n\n|")[2].partition("\n\n")[0]
    return {name for row in table.splitlines()[2:] for name in re.findall("`([^`]+)`", row.split(" | ")[0])}


def test_every_folder_is_described() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = [name.strip('"') for name in tracked.splitlines()]
    top = {f"{name.split('/')[0]}/" for name in names if "/" in name and not name.startswith(".")}
    package = "library/src/s3kit/"
    inner = {name.removeprefix(package) for name in names if name.startswith(package)}
    assert top <= rows("## The folders")
    folders = {f"{name.split('/')[0]}/" for name in inner if "/" in name}
    assert folders - {"templatetags/", "templates/", "static/"} <= rows("In `library/src/s3kit`:")


def found(name: str) -> list[Path]:
    """Return the files and folders that match a path on the page."""
    places = (ROOT, PROJECT, ROOT / "library", ROOT / "library" / "src", ROOT / "library" / "src" / "s3kit")
    return [place / name for place in places if (place / name).exists()]


def test_every_path_exists() -> None:
    named = re.findall(r"`([\w{}./-]+/|[\w{}./-]+\.(?:py|js|json|md|toml))`", text_of(HOW))
    assert len(named) > 30
    assert [name for name in named if not found(name)] == []


def defined(file: Path) -> set[str]:
    """Return the functions, classes, and methods in a file, such as `signed`, `Kind`, and `Kind.checked`."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = set()
    for node in ast.parse(text_of(file)).body:
        if isinstance(node, (*functions, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, functions)}
    return names


def test_every_function_in_the_walkthroughs_exists() -> None:
    text = text_of(HOW)
    walks = text[text.index("## Follow an answer") : text.index("## Run the project")]
    named = re.findall(r"`([A-Za-z_][\w.]*)`\s+\(`([\w/]+\.py)`\)", walks)
    assert len(named) > 40
    assert [(name, file) for name, file in named if name not in defined(found(file)[0])] == []
    # Each is named together with its file.
    assert walks.count(".py`)") == len(named)
    assert len(re.findall(r"`[A-Z]\w+(?:\.[a-z_]+)?`", walks)) == sum(name[0].isupper() for name, _ in named)


# docs/add-a-prompt.md

ADD = ROOT / "docs" / "add-a-prompt.md"


def test_every_code_block_of_the_page_is_a_step() -> None:
    steps = blocks(ADD)
    assert len(steps) == text_of(ADD).count("\n```\n") == 16
    assert all(step.how and (ROOT / step.file).exists() for step in steps)


NOTICE = (
    "tests/test_template.py",
    "tests/test_readme.py::test_table_lists_the_prompts",
    "tests/test_readme.py::test_the_sample_answers_bake",
    "tests/test_readme.py::test_rejection_in_the_readme_is_the_one_printed",
    "tests/test_korean.py::test_korean_page_matches_the_english_one",
    "tests/test_env_file.py::test_a_baked_project_has_an_env_that_django_environ_reads",
    "tests/test_env_file.py::test_the_hook_verifies_every_answer_in_the_example",
    "tests/test_env_file.py::test_env_differs_from_the_example_only_in_the_key",
    "tests/test_rejections.py::test_the_hooks_and_cookiecutter_json_have_the_same_answers",
    "tests/test_rejections.py::test_valid_answers_are_not_rejected",
    "tests/test_rejections.py::test_a_language_that_is_invalid",
    "tests/test_bake.py::test_the_baked_project_is_linted_and_formatted",
    "tests/test_style.py",
)


@pytest.mark.slow
def test_the_steps_add_a_prompt(template: Path, tmp_path: Path, on_lts: Installed) -> None:
    copy = tmp_path / "template"
    shutil.copytree(template, copy, symlinks=True)
    for step in blocks(ADD):
        follow(step, copy)
    run("git", "init", "--quiet", cwd=copy)
    commit(copy, "a prompt")
    # These tests fail if a step is missing.
    printed = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *NOTICE, cwd=copy)
    assert re.search(r"\d+ passed", printed)

    bake = (sys.executable, "-m", "cookiecutter", "--default-config", "--no-input", "-o", tmp_path, copy)
    rejected = run(*bake, "language=en_US", cwd=tmp_path, expect=1)
    assert "language: 'en_US' is not a language code: write it as in en-us, de or ko. Try en-us" in rejected
    run(*bake, "project_slug=site", "language=ko", cwd=tmp_path)
    project = tmp_path / "site"
    assert "\nDJANGO_LANGUAGE_CODE=ko\n" in text_of(project / ".env")
    on_lts.lend(project)
    code = "from django.conf import settings; print(settings.LANGUAGE_CODE)"
    shell = (".venv/bin/python", "manage.py", "shell", "--no-imports", "-c", code)
    assert run(*shell, cwd=project) == "ko\n"
    without = text_of(project / ".env").replace("DJANGO_LANGUAGE_CODE=ko\n", "")
    (project / ".env").write_text(without, encoding="utf-8")
    assert run(*shell, cwd=project) == "en-us\n"
