"""Refuse bad answers before anything is written, with the same check as post_gen_project.py.

That file stands in the template's folder, as do the rules. Where the folder can't be found nothing happens
here, and post_gen_project.py alone checks. Jinja renders this file; its only place is in `main`.
"""

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # the shared temporary folder, where hooks are run: its files must not pass for modules

import contextlib
import importlib.util
import json
import os
from pathlib import Path


def template_project(answers: dict[str, object]) -> Path | None:
    """Return the template's own project folder, or nothing.

    `_repo_dir` is as the user typed it, perhaps relative to where the user stood, which no hook is told. On
    Linux there is a surer way, also for callers that set none: while hooks run, cookiecutter stands in the
    template's folder.
    """
    repo = str(answers.get("_repo_dir") or "")
    starts = (os.environ.get("PWD", ""), str(answers.get("_output_dir") or "")) if repo else ()
    for folder in (Path(f"/proc/{os.getppid()}/cwd"), *(Path(start, repo) for start in starts)):
        with contextlib.suppress(OSError):
            if folder.is_absolute() and (folder / "hooks" / "post_gen_project.py").is_file():
                for rules in folder.glob("*cookiecutter.project_slug*/s3/bucket_names.py"):
                    return rules.parents[1]
    return None


def main() -> None:
    """Exit with 1 and the reasons if an answer is refused."""
    sys.dont_write_bytecode = True  # whatever lies in the template's folder is copied into projects
    answers = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip
    if project := template_project(answers):
        path = project.parent / "hooks" / "post_gen_project.py"
        spec = importlib.util.spec_from_file_location("post_gen_project", path)
        hook = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(hook)
        if refusals := hook.check(answers, *hook.load_rules(project)):
            hook.remove_new_parents(str(answers.get("project_slug")))
            sys.exit(hook.report("Nothing was written.", refusals, answers))


if __name__ == "__main__":
    main()
