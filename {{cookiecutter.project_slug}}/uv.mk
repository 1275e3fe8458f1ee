# Find uv, or install it into .uv/. A rule that runs $(UV) needs $(UV_READY) as a prerequisite.

PYTHON ?= python3
ifneq ($(origin PYTHON),file)
export UV_PYTHON := $(PYTHON)
endif
export UV_PYTHON_DOWNLOADS := never

ifeq ($(shell command -v uv 2>/dev/null),)
UV := .uv/bin/uv
UV_READY := .uv/bin/uv
else
UV := uv
endif

.uv/bin/uv:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed. Install it, or name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@"$(PYTHON)" -m pip --version >/dev/null 2>&1 || { echo "pip is missing: install it first (Debian and Ubuntu: apt install python3-pip)." >&2; exit 1; }
	@"$(PYTHON)" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .uv 'uv>=0.9,<1'
