"""Check the answers before anything is written, with the check of post_gen_project.py.

Where this hook can't find the template's folder, it does nothing, and post_gen_project.py alone checks.
"""

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # hooks run from the shared temporary folder, and its files must not be imported

import contextlib
import importlib
import json
import os
from pathlib import Path


def template_folder(answers: dict[str, object]) -> Path | None:
    """Return the template's folder, or None.

    `_repo_dir` may be relative to a folder that hooks don't know, and cruft doesn't set it. On Linux, the template's
    folder is the working directory of the parent process, cookiecutter, while hooks run.
    """
    repo = str(answers.get("_repo_dir") or "")
    starts = (os.environ.get("PWD", ""), str(answers.get("_output_dir") or "")) if repo else ()
    for folder in (Path(f"/proc/{os.getppid()}/cwd"), *(Path(start, repo) for start in starts)):
        with contextlib.suppress(OSError):
            files = (folder / "hooks/post_gen_project.py", folder / "library/src/s3kit/naming/__init__.py")
            if folder.is_absolute() and all(file.is_file() for file in files):
                return folder
    return None


def main() -> None:
    """Exit with 1 and the reasons if an answer is rejected."""
    sys.dont_write_bytecode = True  # cookiecutter copies whatever lies in the template's folder
    answers = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip
    if folder := template_folder(answers):
        sys.path.insert(0, str(folder / "hooks"))
        hook = importlib.import_module("post_gen_project")
        if refusals := hook.check(answers, *hook.load_rules(folder / "library/src")):
            sys.exit(hook.report("Nothing was written.", refusals, answers))


if __name__ == "__main__":
    main()
