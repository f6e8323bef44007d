# `make help` lists what there is.  `make demo` and `make test` set up what they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help setup system demo test bench check format lint types contracts lock clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(STAMP) ## Python environment in .venv, from the locked requirements

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mxseal needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing: apt-get install python3-venv (or: sudo make system)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

system: ## (as root) Debian packages: venv, and servers for the tests, which are not started
	@sh scripts/system.sh

demo: setup ## the story, in under a minute, on a small internet of its own
	@$(BIN)/mxseal demo

test: setup ## all tests; those that need servers from Debian skip with the reason where one is missing
	$(BIN)/python -m pytest -n auto $(TESTS)

bench: setup ## how fast, and side by side with peers; about ten minutes
	bench/run

check: lint types contracts test ## everything that CI checks

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

format: setup ## put the code into house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## renew requirements/*.lock from pyproject.toml
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet pip-tools
	sh scripts/lock.sh .venv-lock/bin/pip-compile
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .bench dist
