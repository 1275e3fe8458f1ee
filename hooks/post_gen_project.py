"""Refuse bad answers, write .env, prove what was written, and say what is next.

Jinja renders this file; its only place is in `main`, where the answers arrive as data. pre_gen_project.py
imports the file as it is for the same check, so importing it does nothing.
"""

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # the shared temporary folder, where hooks are run: its files must not pass for modules

import contextlib
import difflib
import importlib
import json
import os
import re
import secrets
import shlex
import time
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
TEMPLATE = "gh:org/django-s3-template"  # to be run again, where the caller does not say what it ran

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


def load_rules(project: Path) -> tuple[ModuleType, ModuleType]:
    """Import s3/bucket_names.py and s3/regions.py of a project by path, whatever else may be called s3."""
    package = sys.modules["s3"] = ModuleType("s3")
    package.__path__ = [str(project / "s3")]
    return importlib.import_module("s3.bucket_names"), importlib.import_module("s3.regions")


def check(answers: dict[str, Any], bucket_names: ModuleType, regions: ModuleType) -> list[Refusal]:
    """Return everything that is wrong with the answers, in the order of the prompts."""
    refusals: list[Refusal] = []
    region = None  # what a bucket's name may have to hold: the region answered, or else the one suggested
    buckets: dict[str, str] = {}  # names that pass, with what was typed
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
            cure = bucket_names.suggestion(value, region=region)
            if messages and buckets.get(cure, value) != value:  # what was typed differently stays different
                cure = bucket_names.suggestion(f"{cure}-media", region=region)
            buckets[cure] = value
        refusals += [Refusal(answer, message, cure) for message in messages]
    return refusals


def name_problems(name: str) -> list[str]:
    """Return what keeps a text from being the site's name, which any reader of .env files must read alike."""
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
    """Tell whether it is a control, ends a line, turns the direction of text, or is no character at all."""
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in DIRECTION_CONTROLS:
        return True
    return ord(character) & 0xFFFE == 0xFFFE or "\ufdd0" <= character <= "\ufdef"


def near_name(name: str) -> str:
    """Return a name like this one that `name_problems` passes."""
    near = "".join(" " if is_control(character) else character for character in name[:1000])
    near = near.replace("\\", "")
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


def report(heading: str, refusals: list[Refusal], answers: dict[str, Any]) -> str:
    """Return the message: a line for each refusal, and the command that keeps the other answers."""
    lines = [f"{heading} These answers need another value:"]
    for answer, message, cure in refusals:
        typed = f"{answers[answer]!r} " if answer in answers else ""
        typed = typed if len(typed) <= 70 else f"{typed[:66]}... "
        lines.append(f"  {answer}: {typed}{message}" + (f". Try {cure}" if cure else ""))
    lines += ["Run it again; the other answers are kept:", f"  {command(refusals, answers)}"]
    return "\n".join(["", "-" * 72, *lines, "-" * 72, ""])


def command(refusals: list[Refusal], answers: dict[str, Any]) -> str:
    """Return the command to paste: answers refused are asked again, with the suggestion as the default."""
    words = ["cookiecutter", str(answers.get("_template") or TEMPLATE)]
    if checkout := answers.get("_checkout"):
        words += ["--checkout", str(checkout)]
    output, here = answers.get("_output_dir"), os.environ.get("PWD")
    if output and not (here and os.path.realpath(here) == os.path.realpath(output)):
        words += ["--output-dir", str(output)]
    values = {answer: answers.get(answer) for answer in ANSWERS}
    values |= {answer: cure for answer, _, cure in refusals}
    return shlex.join(words + [f"{answer}={value}" for answer, value in values.items() if value is not None])


def remove_new_parents(slug: str) -> None:
    """Remove the empty folders that a slug such as a/b made; cookiecutter would remove the innermost only.

    A new folder changed its parent's time in the moment the project's folder was made; an old one did not.
    """
    project, new = Path.cwd(), []
    made = project.stat().st_mtime
    parts = [part for part in Path(slug).parts if part != ".."] if time.time() - made < 30 else []
    with contextlib.suppress(OSError):
        for folder, _ in zip(project.parents, parts[1:], strict=False):
            if abs(folder.parent.stat().st_mtime - made) > 0.02 or len(list(folder.iterdir())) > 1:
                break
            new.append(folder)
        for folder in [project, *new] if new else ():
            folder.rmdir()


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
    wrong += [refusal.message for refusal in check(answers | written, *rules)]
    if wrong:
        raise ValueError(f"wrong in it: {', '.join(wrong)}")


def next_steps(project: Path, created: bool) -> str:
    """Return what to do now, seen from where the user stands, if that is known to be above the project."""
    here = os.path.realpath(os.environ.get("PWD") or os.sep)
    folder = project.relative_to(here) if here != os.sep and project.is_relative_to(here) else project
    env = ".env holds its settings and a key of its own." if created else "Your .env was kept as it was."
    steps = f"  cd {shlex.quote(str(folder))}\n  make run"
    return f"\nYour project is ready. {env}\n\n{steps}\n\nREADME.md leads on from there to AWS.\n"


def main() -> None:
    """Check, write .env, and say what is next; exit with 1 and the reasons if an answer is refused."""
    sys.dont_write_bytecode = True  # no __pycache__ in the new project
    sys.stdout.reconfigure(errors="backslashreplace")
    answers = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip
    rules = load_rules(Path.cwd())
    if refusals := check(answers, *rules):
        sys.exit(report("The run stopped.", refusals, answers))
    if not rules[1].is_known(region := answers["aws_region"]):
        near = rules[1].suggestion(region)
        note = f"Note: {region} is none of the regions that this template knows" + (
            f" (such as {near})" * bool(near)
        )
        print(f"{note}. If that is a slip, change AWS_S3_REGION_NAME in .env.", file=sys.stderr)
    print(next_steps(Path.cwd(), write_env(answers, rules)))


if __name__ == "__main__":
    main()
