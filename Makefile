# Two commands on a fresh machine: `make demo` and `make test`. Everything lives in .venv; python >= 3.11 with venv is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed_dev
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: setup setup-dev demo test lint clean

setup: $(STAMP)

setup-dev: $(DEV_STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"sdpose needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) (a few minutes the first time; torch is large) ..."
	@$(INSTALL) -e '.[watch]'
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) with what the tests need (a few minutes the first time; torch is large) ..."
	@$(INSTALL) -e '.[dev]'
	@touch $(STAMP) $@

demo: setup
	@$(BIN)/sdpose demo $(DEMO_ARGS)

test: setup-dev lint
	@# One thread a process and a process a core: twice as fast as two threads in one process. And bytecode is kept even
	@# where the environment says otherwise: every process of the tests would compile the package and its tests anew.
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
