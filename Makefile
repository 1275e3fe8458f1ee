.DEFAULT_GOAL := help
.PHONY: help demo lint test works-with works-with-page test-fast test-lowest test-next golden pictures screenshots reference docs docs-links bench audit dist

# The same search for uv as in every generated project.
include {{cookiecutter.project_slug}}/uv.mk

COOKIECUTTER := $(UV) tool run --quiet --from 'cookiecutter>=2.7,<3' cookiecutter
DEMO := demo/my-site
# How many processes run the library's tests: three on two cores, since they wait for servers a third of the time. The
# template's install and build, and a third worker gains them nothing.
WORKERS ?= 3

help:
	@echo "make demo       bake a project from the default answers into $(DEMO) and serve it"
	@echo "make test       every test of the library and of the template, the slow ones too"
	@echo "make test-fast  the tests that take seconds"
	@echo "make test-lowest  the library's fast tests with the oldest versions that it allows"
	@echo "make test-next  the library's fast tests with the next Django, where there is a pre-release"
	@echo "make works-with  the library beside other people's packages, in the newest versions"
	@echo "make works-with-page  write docs/works-with.md anew from these tests"
	@echo "make golden     write tests/golden anew after a change of the rendered files"
	@echo "make pictures   draw docs/terminal anew after a change of what commands print"
	@echo "make screenshots  take the screenshots of docs/images anew, in Chromium"
	@echo "make reference  write the pages of the documentation that are made from the code"
	@echo "make docs       build the documentation site into .work/site; a warning is an error"
	@echo "make docs-links  ask for each external link of the documentation; needs the network"
	@echo "make bench      measure collectstatic, signed links and uploads beside others, ten minutes (BENCH=--quick: one)"
	@echo "make audit      known vulnerabilities of what the template and a project install; needs the network"
	@echo "make dist       build the library for the package index, into dist/"

# cookiecutter copies whatever lies in the template's folder, so what a run in place has left there must go first.
# The project's own `make .venv` would install the tools of its tests too, half of all; the old date has it do so later.
demo: $(UV_READY)
	@if [ -e $(DEMO) ]; then \
		echo "1/4 $(DEMO) is there already and is served as it is. To bake it anew: rm -r demo"; \
	else \
		left=$$(git clean -ndX -- '{{cookiecutter.project_slug}}' 2>/dev/null); \
		[ -z "$$left" ] || { echo "The template's folder holds files that git ignores: git clean -fdX -- '{{cookiecutter.project_slug}}'" >&2; exit 1; }; \
		echo "1/4 Create a project from the default answers in $(DEMO), with cookiecutter."; \
		$(COOKIECUTTER) --default-config --no-input --output-dir demo . >/dev/null; \
	fi
	@echo "2/4 Install its packages into $(DEMO)/.venv, with uv. The first time, this downloads them."
	@PATH="$(CURDIR)/.uv/bin:$$PATH"; cd $(DEMO) && uv sync --quiet --no-dev --inexact && touch -t 200001010000 .venv
	@port=$$("$(PYTHON)" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])') && cd $(DEMO) || exit 1; \
	echo "3/4 Start a local S3 server; create the buckets, the database and a staff login; publish the static files; add a picture."; \
	export DEMO='$(CURDIR)/demo.py' DEMO_PORT=$$port DEMO_UVX='$(UV)x'; \
	exec .venv/bin/python manage.py s3 run --no-debug --port $$port --s3-port 0 \
		--first "shell --verbosity 0 --command 'import os, runpy; runpy.run_path(os.environ[\"DEMO\"])'"

# The versions are those of tests/constraints.txt, which names no registry.
.venv/installed: $(UV_READY) pyproject.toml library/pyproject.toml tests/constraints.txt
	@$(UV) python find $(or $(UV_PYTHON),'>=3.11') >/dev/null 2>&1 || { echo "Python 3.11 or later is needed, and none was found: install it, or name it: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(UV) venv --quiet --allow-existing .venv
	@$(UV) pip install --quiet --group test --group library/pyproject.toml:test --editable library --constraints tests/constraints.txt
	@touch $@

lint: .venv/installed
	@.venv/bin/ruff check .github demo.py docs/conf.py hooks tests benchmarks && .venv/bin/ruff format --check --quiet .github demo.py docs/conf.py hooks tests benchmarks
	@cd library && ../.venv/bin/ruff check . && ../.venv/bin/ruff format --check --quiet . && ../.venv/bin/mypy

# Tests start hundreds of processes: each would compile all that it imports, where the shell forbids to keep that.
unexport PYTHONDONTWRITEBYTECODE

# Where uv.mk puts a uv that the machine lacks: tests install with it.
test test-fast test-lowest test-next: export PATH := $(CURDIR)/.uv/bin:$(PATH)

# The library's tests first: what they find, the template's would find again, and later.
test: lint
	@cd library && ../.venv/bin/pytest -n $(WORKERS)
	@.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: .venv/installed
	@cd library && ../.venv/bin/pytest -n $(WORKERS) -m "not slow"
	@.venv/bin/pytest -n $(WORKERS) -m "not slow"

# The library with the oldest versions that its pyproject.toml allows. Of the property tests only those that compare with
# botocore: the others meet nothing of these versions.
test-lowest: $(UV_READY)
	@$(UV) venv --quiet --allow-existing .work/lowest
	@$(UV) pip install --quiet --python .work/lowest --resolution lowest-direct --group library/pyproject.toml:test --editable library
	@cd library && ../.work/lowest/bin/pytest -n $(WORKERS) -m "not slow" $(addprefix --ignore=tests/test_,headers_properties.py naming_properties.py policy_properties.py)

# Django's pre-releases count, so that what the next one breaks is seen before it is out; it may fail.
test-next: $(UV_READY)
	@$(UV) venv --quiet --allow-existing --python $(or $(UV_PYTHON),'>=3.12') .work/next
	@$(UV) pip install --quiet --python .work/next --prerelease allow --upgrade 'django>=6.1' --group library/pyproject.toml:test --editable library
	@cd library && ../.work/next/bin/pytest -n $(WORKERS) -m "not slow" -W default

# Other people's packages in the newest versions, beside those of tests/constraints.txt. What only cookiecutter needs
# must not hold one back.
.work/works-with/installed: $(UV_READY) library/pyproject.toml library/works_with/pyproject.toml tests/constraints.txt
	@$(UV) venv --quiet --allow-existing .work/works-with
	@grep -v '^python-slugify==' tests/constraints.txt >.work/works-with/constraints.txt
	@$(UV) pip install --quiet --upgrade --python .work/works-with --group library/pyproject.toml:test --group library/works_with/pyproject.toml:packages --editable library --constraints .work/works-with/constraints.txt
	@touch $@

# Their warnings are theirs.
works-with: .work/works-with/installed
	@cd library && ../.work/works-with/bin/pytest -n $(WORKERS) --dist loadfile -W ignore --ds works_with.settings works_with

works-with-page: .work/works-with/installed
	@cd library && ../.work/works-with/bin/python -m works_with.page

golden: .venv/installed
	@.venv/bin/python -m tests.golden_copies

pictures: .venv/installed
	@.venv/bin/python -m tests.terminal_pictures

screenshots: export PATH := $(CURDIR)/.uv/bin:$(PATH)
screenshots: .venv/installed
	@WRITE_SCREENSHOTS=1 .venv/bin/pytest -q tests/test_quickstart_page.py tests/test_first_app_page.py

reference: .venv/installed
	@cd library && ../.venv/bin/python -m tests.reference

# Sphinx and its theme, without what tests need.
.work/docs/installed: $(UV_READY) pyproject.toml tests/constraints.txt
	@$(UV) venv --quiet --allow-existing .work/docs
	@$(UV) pip install --quiet --python .work/docs --group docs --constraints tests/constraints.txt
	@touch $@

SPHINX := .work/docs/bin/sphinx-build --quiet --fresh-env --nitpicky --doctree-dir .work/docs/trees

docs: .work/docs/installed
	@$(SPHINX) --fail-on-warning --keep-going docs .work/site
	@echo "The site is built: .work/site/index.html"

docs-links: .work/docs/installed
	@$(SPHINX) --builder linkcheck docs .work/docs/links

bench: $(UV_READY)
	@UV="$(UV)" $(UV) run --quiet --no-project --python $(or $(UV_PYTHON),'>=3.11') python -m benchmarks $(BENCH)

# The versions that the tests run with, and the newest that a project of each kind would get. --strict: what the
# index knows nothing of is a failure and not passed over.
PIP_AUDIT := $(UV) tool run --quiet --from 'pip-audit>=2.10,<3' pip-audit --strict --disable-pip --no-deps --progress-spinner off
AUDIT := .work/audit

audit: $(UV_READY)
	@rm -rf $(AUDIT) && mkdir -p $(AUDIT)
	$(PIP_AUDIT) -r tests/constraints.txt
	@set -e; for answer in django_version=5.2 django_version=6.1; do \
		$(COOKIECUTTER) --default-config --no-input --output-dir $(AUDIT)/$$answer . project_slug=site $$answer >/dev/null; \
		$(UV) pip compile --quiet --directory $(AUDIT)/$$answer/site --python-version 3.12 --group dev --no-emit-package django-s3-kit pyproject.toml --output-file requirements.txt >/dev/null; \
	done
	$(PIP_AUDIT) -r $(AUDIT)/django_version=5.2/site/requirements.txt
	$(PIP_AUDIT) -r $(AUDIT)/django_version=6.1/site/requirements.txt

DIST ?= dist

# The wheel has the same bytes as the one that the hook puts into a project.
dist: $(UV_READY)
	@$(UV) build --quiet --sdist --out-dir $(DIST) library
	@"$(PYTHON)" library/wheel.py --out $(DIST)
