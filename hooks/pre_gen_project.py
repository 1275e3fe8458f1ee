"""Check the answers before cookiecutter writes anything, and remove old copies of the library's sources.

The check is that of post_gen_project.py, which is also the only one if this hook can't find the template's folder.
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
import json
import runpy
import shutil
from pathlib import Path

SOURCES = ("src", "pyproject.toml", "README.md", "LICENSE", "wheel.py")  # as in post_gen_project.py


def template_folder(answers: dict[str, object]) -> Path | None:
    """Return the template's folder, or None.

    `_repo_dir` may be relative to a folder that hooks don't know, and cruft doesn't set it. On Linux, the template's
    folder is the working directory of the parent process, cookiecutter, while hooks run.
    """
    repo = str(answers.get("_repo_dir") or "")
    starts = (os.environ.get("PWD", ""),) if repo else ()
    for folder in (Path(f"/proc/{os.getppid()}/cwd"), *(Path(start, repo) for start in starts)):
        with contextlib.suppress(OSError):
            files = (folder / "hooks/post_gen_project.py", folder / "library/src/s3kit/naming/__init__.py")
            if folder.is_absolute() and all(file.is_file() for file in files):
                return folder
    return None


def clear(vendor: Path) -> None:
    """Remove files where cookiecutter will put the library's sources, because post_gen_project.py runs those.

    With --skip-if-file-exists, cookiecutter would keep what is in an existing folder.
    """
    if vendor.is_symlink():
        sys.exit(f"Nothing was written: {vendor} is a symbolic link. Remove it, or choose another folder.")
    for path in (vendor / name for name in SOURCES):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def main() -> None:
    """Exit with 1 and the reasons if an answer is rejected."""
    answers = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip
    if folder := template_folder(answers):
        hook = runpy.run_path(str(folder / "hooks" / "post_gen_project.py"))
        if rejections := hook["check"](answers, *hook["load_rules"](folder / "library/src")):
            answers["_existing"] = any(Path.cwd().iterdir())
            sys.exit(hook["report"]("Nothing was written.", rejections, answers))
    clear(Path.cwd() / "vendor")


if __name__ == "__main__":
    main()
