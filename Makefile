.DEFAULT_GOAL := help
.PHONY: help demo lint test works-with works-with-page test-fast test-lowest test-next golden pictures screenshots reference docs docs-links bench audit dist

# Find or install uv, as every generated project does.
include {{cookiecutter.project_slug}}/uv.mk

COOKIECUTTER := $(UV) tool run --quiet --from 'cookiecutter>=2.7,<3' cookiecutter
DEMO := demo/my-site
# Processes for the library's tests: three on two cores, because the tests wait for servers a third of the time. The
# template's tests use two, because they install and build.
WORKERS ?= 3

help:
	@echo "make demo             create a project with the default answers in $(DEMO), and serve it"
	@echo "make test             run all tests of the library and the template"
	@echo "make test-fast        run the tests that take seconds"
	@echo "make test-lowest      run the library's fast tests with the oldest supported dependencies"
	@echo "make test-next        run the library's fast tests with Django's next pre-release"
	@echo "make works-with       test the library with the newest versions of other packages"
	@echo "make works-with-page  regenerate docs/works-with.md from these tests"
	@echo "make golden           regenerate tests/golden, after a change to the rendered files"
	@echo "make pictures         redraw docs/terminal, after a change to what commands print"
	@echo "make screenshots      retake the screenshots in docs/images, with Chromium"
	@echo "make reference        regenerate the reference pages of the documentation from the code"
	@echo "make docs             build the documentation site in .work/site; warnings are errors"
	@echo "make docs-links       check the external links of the documentation; needs the network"
	@echo "make bench            compare collectstatic, signed links and uploads with other packages: ten minutes (BENCH=--quick: one)"
	@echo "make audit            look for known vulnerabilities in the dependencies; needs the network"
	@echo "make dist             build the library's packages in dist/"

# cookiecutter copies every file in the template's folder, so files left by a run in that folder must go first.
# The project's own `make .venv` would also install the test tools, which are half of the packages. The old date of
# .venv makes the project's next `make` install them.
demo: $(UV_READY)
	@if [ -e $(DEMO) ]; then \
		echo "1/4 $(DEMO) already exists. To create it again, run rm -r demo first."; \
	else \
		left=$$(git clean -ndX -- '{{cookiecutter.project_slug}}' 2>/dev/null); \
		[ -z "$$left" ] || { echo "The template's folder contains files that git ignores. Remove them: git clean -fdX -- '{{cookiecutter.project_slug}}'" >&2; exit 1; }; \
		echo "1/4 Create a project with the default answers in $(DEMO)."; \
		$(COOKIECUTTER) --default-config --no-input --output-dir demo . >/dev/null; \
	fi
	@echo "2/4 Install its packages in $(DEMO)/.venv. The first time, this downloads them."
	@PATH="$(CURDIR)/.uv/bin:$$PATH"; cd $(DEMO) && uv sync --quiet --no-dev --inexact && touch -t 200001010000 .venv
	@port=$$("$(PYTHON)" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])') && cd $(DEMO) || exit 1; \
	echo "3/4 Start a local S3 server; create the buckets, the database and a staff user; publish the static files; add a picture."; \
	export DEMO='$(CURDIR)/demo.py' DEMO_PORT=$$port DEMO_UVX='$(UV)x'; \
	exec .venv/bin/python manage.py s3 run --no-debug --port $$port --s3-port 0 \
		--first "shell --verbosity 0 --command 'import os, runpy; runpy.run_path(os.environ[\"DEMO\"])'"

# A lock file would name a package index; tests/constraints.txt doesn't.
.venv/installed: $(UV_READY) pyproject.toml library/pyproject.toml tests/constraints.txt
	@$(UV) python find $(or $(UV_PYTHON),'>=3.11') >/dev/null 2>&1 || { echo "Python 3.11 or later is needed. Install it, or name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(UV) venv --quiet --allow-existing .venv
	@$(UV) pip install --quiet --group test --group library/pyproject.toml:test --editable library --constraints tests/constraints.txt
	@touch $@

lint: .venv/installed
	@.venv/bin/ruff check .github demo.py docs/conf.py hooks tests benchmarks && .venv/bin/ruff format --check --quiet .github demo.py docs/conf.py hooks tests benchmarks
	@cd library && ../.venv/bin/ruff check . && ../.venv/bin/ruff format --check --quiet . && ../.venv/bin/mypy

# Tests start hundreds of processes. Without bytecode files, each would compile every module that it imports.
unexport PYTHONDONTWRITEBYTECODE

# If the machine has no uv, uv.mk installs it here. Tests use it to install packages.
test test-fast test-lowest test-next: export PATH := $(CURDIR)/.uv/bin:$(PATH)

# The library's tests run first: most failures in them would show up later in the template's tests too.
test: lint
	@cd library && ../.venv/bin/pytest -n $(WORKERS)
	@.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: .venv/installed
	@cd library && ../.venv/bin/pytest -n $(WORKERS) -m "not slow"
	@.venv/bin/pytest -n $(WORKERS) -m "not slow"

.work/lowest/installed: $(UV_READY) library/pyproject.toml
	@$(UV) venv --quiet --allow-existing .work/lowest
	@$(UV) pip install --quiet --python .work/lowest --resolution lowest-direct --group library/pyproject.toml:test --editable library
	@touch $@

# Most property tests don't depend on other packages, so leave them out. Those that compare with botocore stay.
test-lowest: .work/lowest/installed
	@cd library && ../.work/lowest/bin/pytest -n $(WORKERS) -m "not slow" $(addprefix --ignore=tests/test_,headers_properties.py naming_properties.py policy_properties.py)

# May fail: shows what the next Django breaks, before its release.
test-next: $(UV_READY)
	@$(UV) venv --quiet --allow-existing --python $(or $(UV_PYTHON),'>=3.12') .work/next
	@$(UV) pip install --quiet --python .work/next --prerelease allow --upgrade 'django>=6.1' --group library/pyproject.toml:test --editable library
	@cd library && ../.work/next/bin/pytest -n $(WORKERS) -m "not slow" -W default

# Only cookiecutter needs python-slugify, so that pin must not hold back another package.
.work/works-with/installed: $(UV_READY) library/pyproject.toml library/works_with/pyproject.toml tests/constraints.txt
	@$(UV) venv --quiet --allow-existing .work/works-with
	@grep -v '^python-slugify==' tests/constraints.txt >.work/works-with/constraints.txt
	@$(UV) pip install --quiet --upgrade --python .work/works-with --group library/pyproject.toml:test --group library/works_with/pyproject.toml:packages --editable library --constraints .work/works-with/constraints.txt
	@touch $@

# Ignore warnings: other packages cause them.
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

.work/docs/installed: $(UV_READY) pyproject.toml tests/constraints.txt
	@$(UV) venv --quiet --allow-existing .work/docs
	@$(UV) pip install --quiet --python .work/docs --group docs --constraints tests/constraints.txt
	@touch $@

SPHINX := .work/docs/bin/sphinx-build --quiet --fresh-env --nitpicky --doctree-dir .work/docs/trees

docs: .work/docs/installed
	@$(SPHINX) --fail-on-warning --keep-going docs .work/site
	@echo "The site is in .work/site/index.html"

docs-links: .work/docs/installed
	@$(SPHINX) --builder linkcheck docs .work/docs/links

bench: $(UV_READY)
	@UV="$(UV)" $(UV) run --quiet --no-project --python $(or $(UV_PYTHON),'>=3.11') python -m benchmarks $(BENCH)

# Audit the versions in the tests, and the newest versions that a project with each Django would install. Without
# --strict, pip-audit skips packages that the index doesn't know.
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

# `uv build` would make a wheel with other bytes than the one that the hook puts into projects.
dist: $(UV_READY)
	@$(UV) build --quiet --sdist --out-dir $(DIST) library
	@"$(PYTHON)" library/wheel.py --out $(DIST)
