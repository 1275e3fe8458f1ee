"""Check the answers, build the library's wheel into vendor/, write .env, and print the next steps.

Jinja renders this file. Its only placeholder is in `main`, which gets the answers as data. pre_gen_project.py runs the
unrendered file for the same check, so importing it does nothing.
"""

import os
import sys

if __name__ == "__main__":
    # Import nothing from the shared temporary folder that contains this hook, nor from the project's folder, which may
    # have existed before and which PYTHONPATH=. points to. Only Python's standard library may be there.
    sys.path[:] = sys.path[0 if getattr(sys.flags, "safe_path", False) else 1 :]
    here, own = os.path.realpath("") + os.sep, os.path.dirname(os.__file__)  # noqa: PTH120
    sys.path[:] = [
        p for p in sys.path if p.startswith(own) or not f"{os.path.realpath(p)}{os.sep}".startswith(here)
    ]

import contextlib
import difflib
import json
import re
import secrets
import shlex
import shutil
import subprocess
import unicodedata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

ANSWERS = (
    *("project_name", "project_slug", "aws_region", "static_bucket_name", "media_bucket_name"),
    *("media_access", "django_version"),
)
CHOICES = {"media_access": ("private", "public-read", "public-policy"), "django_version": ("5.2", "6.1")}
VARIABLES = {
    "project_name": "DJANGO_SITE_NAME",
    "aws_region": "AWS_S3_REGION_NAME",
    "static_bucket_name": "AWS_STATIC_BUCKET_NAME",
    "media_bucket_name": "AWS_MEDIA_BUCKET_NAME",
    "media_access": "AWS_MEDIA_ACCESS",
}
CREATED = ".env contains its settings and a new secret key."
KEPT = "Your existing .env was not changed."
TEMPLATE = "gh:org/django-s3-template"  # if cookiecutter does not say what it ran
SOURCES = ("src", "pyproject.toml", "README.md", "LICENSE", "wheel.py")  # the links in the template's vendor/

# Unicode's Bidi_Control characters, and letters and symbols that are invisible.
DIRECTION_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
CODE = re.compile(r"\{[%#{]")
# All parsers of .env files agree on these three forms, and `check` rejects answers that need another.
ENV_LINE = re.compile(r"""([A-Z][A-Z0-9_]*)=(?:'([^']*)'|"([^"$`\\]*)"|([A-Za-z0-9_.,:/@+-]*))""")


class Rejection(NamedTuple):
    """What is wrong with an answer, and a similar value that is valid, if there is one."""

    answer: str
    message: str
    suggestion: str | None


def load(name: str, path: Path) -> ModuleType:
    """Run a file's source as a module. Ignore bytecode, packages, and extensions of the same name next to it."""
    module = sys.modules[name] = ModuleType(name)
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102
    return module


def load_rules(source: Path) -> tuple[ModuleType, ModuleType]:
    """Load the library's naming rules from its src folder, even if another module is called s3kit."""
    if sys.version_info < (3, 11):  # noqa: UP036
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"cookiecutter runs on Python {version}, but this template needs Python 3.11 or later.")
    if not (source / "s3kit" / "naming").is_dir():
        sys.exit(f"{source} is missing. Clone the template with git, with core.symlinks enabled.")
    naming = load("s3kit.naming", source / "s3kit" / "naming" / "__init__.py")
    naming.regions = load("s3kit.naming.regions", source / "s3kit" / "naming" / "regions.py")
    return load("s3kit.naming.buckets", source / "s3kit" / "naming" / "buckets.py"), naming.regions


def check(answers: dict[str, Any], bucket_names: ModuleType, regions: ModuleType) -> list[Rejection]:
    """Return all problems with the answers, in the order of the prompts."""
    rejections: list[Rejection] = []
    region = None  # the answer, or the suggestion for it: some bucket names contain the region
    buckets: dict[str, str] = {}  # valid names, by answer
    for answer in ANSWERS:
        value, suggestion = answers.get(answer), None
        if not isinstance(value, str):
            messages = ["is not text" if answer in answers else "is missing"]
        elif answer == "project_name":
            messages, suggestion = name_problems(value), similar_name(value)
        elif answer == "project_slug":
            messages, suggestion = slug_problems(value), similar_slug(value)
        elif answer == "aws_region":
            messages = [problem.message for problem in regions.problems(value)]
            region = suggestion = regions.suggestion(value) if messages else value
        elif answer in CHOICES:
            messages = [f"is not one of {', '.join(CHOICES[answer])}"] if value not in CHOICES[answer] else []
            suggestion = next(iter(difflib.get_close_matches(value.lower(), CHOICES[answer], n=1)), None)
        else:
            messages = [problem.message for problem in bucket_names.problems(value, region=region)]
            key = value if value.strip() else answer  # two blank answers don't mean one bucket
            if messages:  # equal answers get equal suggestions, and different answers different ones
                suggestion = buckets.get(key) or similar_bucket(answer, answers, bucket_names, region)
                if key not in buckets and suggestion in buckets.values():
                    suggestion = bucket_names.suggestion(f"{suggestion}-media", region=region)
            buckets[key] = suggestion or value
        rejections += [Rejection(answer, message, suggestion) for message in messages]
    return rejections


def name_problems(name: str) -> list[str]:
    """Return the problems with a site's name, which all parsers of .env files must read in the same way."""
    found = []
    if not 1 <= len(name) <= 100:
        found.append(f"is {len(name)} characters long; 1 to 100 are allowed")
    if not any(unicodedata.category(letter)[0] in "LNPS" and letter not in BLANKS for letter in name):
        found.append("has no visible character")
    if any(is_control(character) for character in name):
        found.append(
            "has invisible characters that break lines, control terminals, or change the text direction"
        )
    if match := CODE.search(name):
        found.append(f"has {match[0]}, which cookiecutter treats as code")
    if "\\" in name or "${" in name:
        found.append("has a backslash or ${, which parsers of .env files read differently")
    if "'" in name and re.search(r'["$`]', name):
        found.append('has an apostrophe together with ", $, or `; a typographic apostrophe (\u2019) is fine')
    elif re.fullmatch(r'".*"', name, re.DOTALL):
        found.append('begins and ends with ", which parsers of .env files remove')
    return found


def is_control(character: str) -> bool:
    """Return whether a character controls, breaks a line, changes the text direction, or is a noncharacter."""
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in DIRECTION_CONTROLS:
        return True
    return ord(character) & 0xFFFE == 0xFFFE or "\ufdd0" <= character <= "\ufdef"


def similar_name(name: str) -> str:
    """Return a similar name that is valid."""
    similar = "".join(" " if is_control(letter) else letter for letter in name[:1000]).replace("\\", "")
    similar = re.sub(r"[{}]", "", similar) if CODE.search(similar) or "${" in similar else similar
    similar = similar.replace("'", "\u2019") if re.search(r'["$`]', similar) else similar
    similar = re.sub(r'"([^"]*)"', "\u201c\\1\u201d", similar) if similar.startswith('"') else similar
    similar = re.sub(r" +", " ", similar)[:100].strip()
    return "My Site" if name_problems(similar) else similar


def slug_problems(slug: str) -> list[str]:
    """Return the problems with the name of the project's folder."""
    found = []
    if not 1 <= len(slug) <= 50:
        found.append(f"is {len(slug)} characters long; 1 to 50 are allowed")
    if re.search(r"[^a-z0-9_-]", slug):
        found.append("contains characters other than a-z, 0-9, -, and _")
    if re.match(r"[_-]", slug) or re.search(r"[_-]\Z", slug):
        found.append("must begin and end with a letter or digit")
    return found


def similar_slug(slug: str) -> str:
    """Return a similar folder name that is valid."""
    similar = unicodedata.normalize("NFKD", slug[:1000]).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_-]+", "-", similar).strip("_-")[:50].strip("_-") or "my-site"


def similar_bucket(answer: str, answers: dict[str, Any], bucket_names: ModuleType, region: str | None) -> str:
    """Return a similar bucket name, or the default one if nothing of the answer can be used."""
    similar = str(bucket_names.suggestion(answers[answer], region=region))
    parts = (
        answers.get("__bucket_prefix"),
        answer.removesuffix("_bucket_name"),
        answers.get("__bucket_suffix"),
    )
    default = "-".join(map(str, parts))
    if (
        similar != bucket_names.suggestion("")
        or None in parts
        or bucket_names.problems(default, region=region)
    ):
        return similar
    return default


def report(heading: str, rejections: list[Rejection], answers: dict[str, Any]) -> str:
    """Return the message: one line per rejection, and a command that keeps the other answers."""
    lines = [f"{heading} These answers need another value:"]
    for answer, message, suggestion in rejections:
        typed = f"{answers[answer]!r} " if answer in answers else ""
        typed = typed if len(typed) <= 70 else f"{typed[:66]}... "
        lines.append(f"  {answer}: {typed}{message}" + (f". Try {suggestion}" if suggestion else ""))
    again = (
        "with these values"
        if all(suggestion for _, _, suggestion in rejections)
        else "and press Enter to keep an answer"
    )
    lines += [f"Run the command again {again}:", f"  {command(rejections, answers)}"]
    return "\n".join(["", "-" * 72, *lines, "-" * 72, ""])


def command(rejections: list[Rejection], answers: dict[str, Any]) -> str:
    """Return a command with all answers. It asks no questions if each rejected answer has a suggestion."""
    words, cruft = caller(answers), "_commit" in answers
    suggestions = {answer: suggestion for answer, _, suggestion in rejections}
    values = {answer: answers.get(answer) for answer in ANSWERS} | suggestions
    values = {answer: value for answer, value in values.items() if value is not None}
    if words[-1] == "update":
        return shlex.join([*words, "--variables-to-update", json.dumps(suggestions, ensure_ascii=False)])
    words.append(str(answers.get("_template") or TEMPLATE))
    if checkout := answers.get("_checkout"):
        words += ["--checkout", str(checkout)]
    output, here = (
        answers.get("_output_dir") or (cruft and Path.cwd().parent),
        os.environ.get("PWD") or os.sep,
    )
    if output and os.path.realpath(here) != os.path.realpath(output):
        words += ["--output-dir", str(output)]
    words += ["--overwrite-if-exists"] if answers.get("_existing") else []
    words += ["--no-input"] if all(suggestions.values()) else []
    if cruft:
        return shlex.join([*words, "--extra-context", json.dumps(values, ensure_ascii=False)])
    return shlex.join(words + [f"{answer}={value}" for answer, value in values.items()])


def caller(answers: dict[str, Any]) -> list[str]:
    """Return the command that the user typed, up to the template, from /proc; elsewhere, an equivalent one."""
    tool = "cruft" if "_commit" in answers else "cookiecutter"
    after = ["create"] if tool == "cruft" else []
    try:
        parent = os.getppid()
        above = Path(f"/proc/{parent}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
        lines = [
            os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0") for pid in (above, parent)
        ]
    except (OSError, IndexError):
        lines = []
    for words in lines:
        for at, word in enumerate(words):
            if not re.fullmatch(rf"{tool}(@.+)?", Path(word).name) or words[at - 1] in (
                "--from",
                "--with",
                "-w",
            ):
                continue
            after = ["update"] if after and "update" in words[at:] else after
            if Path(words[0]).name in ("uv", "uvx"):  # uvx becomes `uv tool uvx`
                return [
                    *(["uvx", *words[3 : at + 1]] if words[1:3] == ["tool", "uvx"] else words[: at + 1]),
                    *after,
                ]
            if words[at - 1] == "-m":
                return [*words[: at + 1], *after]
    if "archive-v0" in Path(sys.prefix).parts:  # uv's cache
        return ["uvx", tool, *after]
    if shutil.which(tool):
        return [tool, *after]
    return [sys.executable, "-m", tool, *after]


def vendor_library(vendor: Path, from_index: bool) -> None:
    """Build the library's wheel from the sources that cookiecutter copied into vendor/, and remove the sources."""
    try:
        wheel = load("wheel", vendor / "wheel.py").build(vendor, vendor)
        if not from_index and wheel.name not in Path("pyproject.toml").read_text(encoding="utf-8"):
            sys.exit(f"The run stopped: pyproject.toml requires another version than {wheel.name}.")
    except (ImportError, OSError, ValueError, KeyError) as error:
        sys.exit(f"The run stopped: building the library's wheel failed: {error}")
    finally:
        for path in (vendor / name for name in SOURCES):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for other in vendor.glob("django_s3_kit-*.whl"):
        if from_index or other != wheel:
            other.unlink()
    if not any(vendor.iterdir()):
        vendor.rmdir()


def write_env(answers: dict[str, Any], rules: tuple[ModuleType, ModuleType]) -> bool:
    """Write .env with a new secret key, readable by its owner only. Return False if .env exists, and keep it."""
    try:
        descriptor = os.open(".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            empty, key = "DJANGO_SECRET_KEY=", secrets.token_urlsafe(50)
            lines = Path(".env.example").read_text(encoding="utf-8").split("\n")
            file.write("\n".join(empty + key if line == empty else line for line in lines))
        verify_env(key, answers, rules)
    except (OSError, ValueError) as error:
        Path(".env").unlink()
        sys.exit(f"The run stopped: .env.example can't be made into a correct .env: {error}")
    return True


def verify_env(key: str, answers: dict[str, Any], rules: tuple[ModuleType, ModuleType]) -> None:
    """Raise ValueError unless .env contains the key and the answers, and the answers are valid."""
    values = {}
    for line in Path(".env").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            if not (match := ENV_LINE.fullmatch(line)):
                raise ValueError(f"parsers read {line.partition('=')[0]!r} differently")
            values[match[1]] = match[match.lastindex]
    written = {answer: values.get(variable) for answer, variable in VARIABLES.items()}
    wrong = [VARIABLES[answer] for answer in written if written[answer] != answers[answer]]
    wrong += ["DJANGO_SECRET_KEY"] if values.get("DJANGO_SECRET_KEY") != key else []
    if wrong := [*wrong, *(rejection.message for rejection in check(answers | written, *rules))]:
        raise ValueError(f"it has wrong values: {', '.join(wrong)}")


def next_steps(project: Path, created: bool, django: str) -> str:
    """Return the next steps, with the project's folder relative to the user's if possible."""
    here = os.path.realpath(os.environ.get("PWD") or os.sep)
    folder = project.relative_to(here) if here != os.sep and project.is_relative_to(here) else project
    lines = ["Your project is ready. " + (CREATED if created else KEPT)]
    if django == "6.1" and not has_python(12):
        version = ".".join(map(str, sys.version_info[:2]))
        lines.append(
            f"Django 6.1 needs Python 3.12 or later, but only Python {version} was found. Before you run make, install"
            " a later one (uv python install 3.13), or create the project again with django_version=5.2."
        )
    lines.append(f"  cd {shlex.quote(str(folder))}\n  make run")
    lines.append("README.md explains the rest.")
    if not (project / ".git").exists():
        lines[-1] += " Create a repository with `git init -b main`. The workflows deploy only that branch."
    return "\n" + "\n\n".join(lines) + "\n"


def has_python(minor: int) -> bool:
    """Return whether `make run` will find Python 3.minor or later: cookiecutter's, one on PATH, or one of uv's."""
    if sys.version_info >= (3, minor):
        return True
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    # Never run a program from the project's folder.
    outside = [f for f in folders if f.is_absolute() and not f.resolve().is_relative_to(Path.cwd().resolve())]
    path = os.pathsep.join(map(str, outside))
    find = ["python", "find", "--system", "--no-project", "--no-config", f">=3.{minor}"]
    tries = [(f"python3.{number}", ["-I", "-c", ""]) for number in range(minor, minor + 6)] + [("uv", find)]
    environment = {name: value for name, value in os.environ.items() if name != "UV_PYTHON"}
    environment |= {"PATH": path, "UV_PYTHON_DOWNLOADS": "never"}
    for name, words in tries:
        if program := shutil.which(name, path=path):
            with contextlib.suppress(OSError):  # pyenv has shims of versions that are not installed
                command = [program, *words]
                done = subprocess.run(command, cwd=os.sep, env=environment, capture_output=True, check=False)  # noqa: S603
                if done.returncode == 0:
                    return True
    return False


def main() -> None:
    """Check the answers, and write the wheel and .env. Exit with 1 and the reasons if an answer is rejected."""
    sys.stdout.reconfigure(errors="backslashreplace")
    answers = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip
    rules = load_rules(Path.cwd() / "vendor" / "src")
    if rejections := check(answers, *rules):
        sys.exit(report("The run stopped.", rejections, answers))
    vendor_library(Path.cwd() / "vendor", answers.get("__library_from_index") == "yes")
    created = write_env(answers, rules)
    if not rules[1].is_known(region := answers["aws_region"]):
        hint = f" Did you mean {similar}? Edit .env." if (similar := rules[1].suggestion(region)) else ""
        print(f"Note: this template doesn't know the region {region}.{hint}", file=sys.stderr)
    print(next_steps(Path.cwd(), created, answers["django_version"]))


if __name__ == "__main__":
    main()
