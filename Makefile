# make quickstart | make test | make check. Everything is installed into .venv; nothing else is touched.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: quickstart test check lint format benchmarks clean

quickstart: $(VENV)/installed
	$(BIN)/llmops run quickstart

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

check: lint test

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.commands

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(INSTALL) --editable '.[data,train,eval,serve]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) .llmops dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
