"""Check the answers, put the library's wheel into vendor/, write .env, and print the next steps.

Jinja renders this file; only `main` holds a placeholder, where the answers arrive as data. pre_gen_project.py
imports this file unrendered for the same check, so importing it does nothing.
"""

import os
import sys

if __name__ == "__main__":
    # Nothing may be imported from the shared temporary folder, which holds this hook, or from the project's, which may
    # have been there before (PYTHONPATH=. leads into it); only Python's own library may lie there.
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
CREATED = ".env holds its settings and a key of its own."
KEPT = "Your .env was kept as it was."
TEMPLATE = "gh:org/django-s3-template"  # for the command to run again, if the caller does not say what it ran
SOURCES = ("src", "pyproject.toml", "README.md", "LICENSE", "wheel.py")  # the links in the template's vendor/

# Unicode's Bidi_Control; and what counts as a letter or a symbol although it shows nothing.
DIRECTION_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
CODE = re.compile(r"\{[%#{]")
# Every reader of .env files takes these three forms alike; `check` lets nothing through that needs another.
ENV_LINE = re.compile(r"""([A-Z][A-Z0-9_]*)=(?:'([^']*)'|"([^"$`\\]*)"|([A-Za-z0-9_.,:/@+-]*))""")


class Refusal(NamedTuple):
    """One thing wrong with one answer, and the value to try instead, if one is near."""

    answer: str
    message: str
    cure: str | None


def load(name: str, path: Path) -> ModuleType:
    """Run a file's source as a module, whatever bytecode, package or extension of its name lies beside it."""
    module = sys.modules[name] = ModuleType(name)
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102
    return module


def load_rules(source: Path) -> tuple[ModuleType, ModuleType]:
    """Load the library's rules for names from its src folder, whatever else may be called s3kit."""
    if sys.version_info < (3, 11):  # noqa: UP036
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"cookiecutter runs on Python {version}, but this template needs Python 3.11 or later.")
    if not (source / "s3kit" / "naming").is_dir():
        sys.exit(f"{source} is missing: clone the template with git, with core.symlinks on.")
    naming = load("s3kit.naming", source / "s3kit" / "naming" / "__init__.py")
    naming.regions = load("s3kit.naming.regions", source / "s3kit" / "naming" / "regions.py")
    return load("s3kit.naming.buckets", source / "s3kit" / "naming" / "buckets.py"), naming.regions


def check(answers: dict[str, Any], bucket_names: ModuleType, regions: ModuleType) -> list[Refusal]:
    """Return everything that is wrong with the answers, in the order of the prompts."""
    refusals: list[Refusal] = []
    region = None  # what a bucket's name may have to hold: the region answered, or else the one suggested
    buckets: dict[str, str] = {}  # what was typed, with a name that passes
    for answer in ANSWERS:
        value, cure = answers.get(answer), None
        if not isinstance(value, str):
            messages = ["is not text" if answer in answers else "is missing"]
        elif answer == "project_name":
            messages, cure = name_problems(value), near_name(value)
        elif answer == "project_slug":
            messages, cure = slug_problems(value), near_slug(value)
        elif answer == "aws_region":
            messages = [problem.message for problem in regions.problems(value)]
            region = cure = regions.suggestion(value) if messages else value
        elif answer in CHOICES:
            messages = [f"is not one of {', '.join(CHOICES[answer])}"] if value not in CHOICES[answer] else []
            cure = next(iter(difflib.get_close_matches(value.lower(), CHOICES[answer], n=1)), None)
        else:
            messages = [problem.message for problem in bucket_names.problems(value, region=region)]
            if messages:  # what was typed alike stays alike, and what was typed differently stays different
                cure = buckets.get(value) or near_bucket(answer, answers, bucket_names, region)
                if value not in buckets and cure in buckets.values():
                    cure = bucket_names.suggestion(f"{cure}-media", region=region)
            buckets[value] = cure or value
        refusals += [Refusal(answer, message, cure) for message in messages]
    return refusals


def name_problems(name: str) -> list[str]:
    """Return what is wrong with the site's name, which every reader of .env files must read alike."""
    found = []
    if not 1 <= len(name) <= 100:
        found.append(f"is {len(name)} characters long; 1 to 100 are allowed")
    if not any(unicodedata.category(letter)[0] in "LNPS" and letter not in BLANKS for letter in name):
        found.append("has nothing that can be seen")
    if any(is_control(character) for character in name):
        found.append("has invisible characters that end lines, steer terminals or turn the direction of text")
    if match := CODE.search(name):
        found.append(f"has {match[0]}, which cookiecutter takes for code")
    if "\\" in name or "${" in name:
        found.append("has a backslash or ${, which readers of .env files take in different ways")
    if "'" in name and re.search(r'["$`]', name):
        found.append('has an apostrophe together with ", $ or `; a typographic apostrophe (\u2019) is fine')
    elif re.fullmatch(r'".*"', name, re.DOTALL):
        found.append('begins and ends with ", which readers of .env files take away')
    return found


def is_control(character: str) -> bool:
    """Return whether it is a control, ends a line, changes the direction of text, or is no character at all."""
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in DIRECTION_CONTROLS:
        return True
    return ord(character) & 0xFFFE == 0xFFFE or "\ufdd0" <= character <= "\ufdef"


def near_name(name: str) -> str:
    """Return a name like this one that `name_problems` passes."""
    near = "".join(" " if is_control(letter) else letter for letter in name[:1000]).replace("\\", "")
    near = re.sub(r"[{}]", "", near) if CODE.search(near) or "${" in near else near
    near = near.replace("'", "\u2019") if re.search(r'["$`]', near) else near
    near = re.sub(r'"([^"]*)"', "\u201c\\1\u201d", near) if near.startswith('"') else near
    near = re.sub(r" +", " ", near)[:100].strip()
    return "My Site" if name_problems(near) else near


def slug_problems(slug: str) -> list[str]:
    """Return what keeps a text from being the name of the project's folder."""
    found = []
    if not 1 <= len(slug) <= 50:
        found.append(f"is {len(slug)} characters long; 1 to 50 are allowed")
    if re.search(r"[^a-z0-9_-]", slug):
        found.append("has other characters than a-z, 0-9, - and _")
    if re.match(r"[_-]", slug) or re.search(r"[_-]\Z", slug):
        found.append("must begin and end with a letter or a digit")
    return found


def near_slug(slug: str) -> str:
    """Return a folder's name like this one that `slug_problems` passes."""
    near = unicodedata.normalize("NFKD", slug[:1000]).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_-]+", "-", near).strip("_-")[:50].strip("_-") or "my-site"


def near_bucket(answer: str, answers: dict[str, Any], bucket_names: ModuleType, region: str | None) -> str:
    """Return a bucket's name like the one answered, or the default with its random end where only my-bucket is near."""
    near = str(bucket_names.suggestion(answers[answer], region=region))
    parts = (
        answers.get("__bucket_prefix"),
        answer.removesuffix("_bucket_name"),
        answers.get("__bucket_suffix"),
    )
    default = "-".join(map(str, parts))
    if near != bucket_names.suggestion("") or None in parts or bucket_names.problems(default, region=region):
        return near
    return default


def report(heading: str, refusals: list[Refusal], answers: dict[str, Any]) -> str:
    """Return the message: a line for each refusal, and the command that keeps the other answers."""
    lines = [f"{heading} These answers need another value:"]
    for answer, message, cure in refusals:
        typed = f"{answers[answer]!r} " if answer in answers else ""
        typed = typed if len(typed) <= 70 else f"{typed[:66]}... "
        lines.append(f"  {answer}: {typed}{message}" + (f". Try {cure}" if cure else ""))
    again = (
        "with these values" if all(cure for _, _, cure in refusals) else "and press Enter to keep an answer"
    )
    lines += [f"Run it again {again}:", f"  {command(refusals, answers)}"]
    return "\n".join(["", "-" * 72, *lines, "-" * 72, ""])


def command(refusals: list[Refusal], answers: dict[str, Any]) -> str:
    """Return the command to paste. It holds all answers, and asks for none if each rejected one has a suggestion."""
    words, cruft = caller(answers), "_commit" in answers
    cures = {answer: cure for answer, _, cure in refusals}
    values = {answer: answers.get(answer) for answer in ANSWERS} | cures
    values = {answer: value for answer, value in values.items() if value is not None}
    if words[-1] == "update":
        return shlex.join([*words, "--variables-to-update", json.dumps(cures, ensure_ascii=False)])
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
    words += ["--no-input"] if all(cures.values()) else []
    if cruft:
        return shlex.join([*words, "--extra-context", json.dumps(values, ensure_ascii=False)])
    return shlex.join(words + [f"{answer}={value}" for answer, value in values.items()])


def caller(answers: dict[str, Any]) -> list[str]:
    """Return the words that were typed before the template, as /proc has them; elsewhere, words that do the same."""
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
    """Build the library's wheel from the sources that cookiecutter has copied into vendor/, and remove these."""
    try:
        wheel = load("wheel", vendor / "wheel.py").build(vendor, vendor)
        if not from_index and wheel.name not in Path("pyproject.toml").read_text(encoding="utf-8"):
            sys.exit(f"The run stopped: pyproject.toml asks for another version than {wheel.name}.")
    except (ImportError, OSError, ValueError, KeyError) as error:
        sys.exit(f"The run stopped: the library's wheel could not be built: {error}")
    finally:
        for path in (vendor / name for name in SOURCES):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for other in vendor.glob("django_s3_kit-*.whl"):
        if from_index or other != wheel:
            other.unlink()
    if not any(vendor.iterdir()):
        vendor.rmdir()


def write_env(answers: dict[str, Any], rules: tuple[ModuleType, ModuleType]) -> bool:
    """Write .env with a fresh key, for its owner's eyes only; keep one that is there, and return False."""
    try:
        descriptor = os.open(".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            empty, key = "DJANGO_SECRET_KEY=", secrets.token_urlsafe(50)
            lines = Path(".env.example").read_text(encoding="utf-8").split("\n")
            file.write("\n".join(empty + key if line == empty else line for line in lines))
        prove(key, answers, rules)
    except (OSError, ValueError) as error:
        Path(".env").unlink()
        sys.exit(f"The run stopped: .env.example makes no .env that can be relied on: {error}")
    return True


def prove(key: str, answers: dict[str, Any], rules: tuple[ModuleType, ModuleType]) -> None:
    """Read .env back; raise ValueError unless it holds the key and the answers, and these pass the rules."""
    values = {}
    for line in Path(".env").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            if not (match := ENV_LINE.fullmatch(line)):
                raise ValueError(f"its readers take {line.partition('=')[0]!r} differently")
            values[match[1]] = match[match.lastindex]
    written = {answer: values.get(variable) for answer, variable in VARIABLES.items()}
    wrong = [VARIABLES[answer] for answer in written if written[answer] != answers[answer]]
    wrong += ["DJANGO_SECRET_KEY"] if values.get("DJANGO_SECRET_KEY") != key else []
    if wrong := [*wrong, *(refusal.message for refusal in check(answers | written, *rules))]:
        raise ValueError(f"wrong in it: {', '.join(wrong)}")


def next_steps(project: Path, created: bool, django: str) -> str:
    """Return what to do now, seen from where the user stands, if that is known to be above the project."""
    here = os.path.realpath(os.environ.get("PWD") or os.sep)
    folder = project.relative_to(here) if here != os.sep and project.is_relative_to(here) else project
    lines = ["Your project is ready. " + (CREATED if created else KEPT)]
    if django == "6.1" and not has_python(12):
        version = ".".join(map(str, sys.version_info[:2]))
        lines.append(
            f"Django 6.1 needs Python 3.12 or later, and only Python {version} was found. Before make run, install a"
            " later one (uv python install 3.13), or create the project anew with django_version=5.2."
        )
    lines.append(f"  cd {shlex.quote(str(folder))}\n  make run")
    lines.append("README.md has the rest.")
    if not (project / ".git").exists():
        lines[-1] += " Start a repository with `git init -b main`: its workflows deploy that branch alone."
    return "\n" + "\n\n".join(lines) + "\n"


def has_python(minor: int) -> bool:
    """Return whether `make run` would find Python 3.minor or later: cookiecutter's own, one on PATH, or one of uv's."""
    if sys.version_info >= (3, minor):
        return True
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    # What lies in the project's folder is not run.
    outside = [f for f in folders if f.is_absolute() and not f.resolve().is_relative_to(Path.cwd().resolve())]
    path = os.pathsep.join(map(str, outside))
    find = ["python", "find", "--system", "--no-project", "--no-config", f">=3.{minor}"]
    tries = [(f"python3.{number}", ["-I", "-c", ""]) for number in range(minor, minor + 6)] + [("uv", find)]
    environment = {name: value for name, value in os.environ.items() if name != "UV_PYTHON"}
    environment |= {"PATH": path, "UV_PYTHON_DOWNLOADS": "never"}
    for name, words in tries:
        if program := shutil.which(name, path=path):
            with contextlib.suppress(OSError):  # pyenv has shims without their Python: they fail
                command = [program, *words]
                done = subprocess.run(command, cwd=os.sep, env=environment, capture_output=True, check=False)  # noqa: S603
                if done.returncode == 0:
                    return True
    return False


def main() -> None:
    """Check the answers, then write the wheel and .env; exit with 1 and the reasons if an answer is rejected."""
    sys.stdout.reconfigure(errors="backslashreplace")
    answers = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip
    rules = load_rules(Path.cwd() / "vendor" / "src")
    if refusals := check(answers, *rules):
        sys.exit(report("The run stopped.", refusals, answers))
    vendor_library(Path.cwd() / "vendor", answers.get("__library_from_index") == "yes")
    created = write_env(answers, rules)
    if not rules[1].is_known(region := answers["aws_region"]):
        hint = f" Did you mean {near}? Edit .env." if (near := rules[1].suggestion(region)) else ""
        print(f"Note: {region} is not a region that this template knows.{hint}", file=sys.stderr)
    print(next_steps(Path.cwd(), created, answers["django_version"]))


if __name__ == "__main__":
    main()
