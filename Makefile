# Works on a fresh machine with Python 3.11 (or 3.12, 3.13) and make. `make PYTHON=python3.12 test` uses another interpreter.
PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV ?= .venv-$(VERSION)
BIN := $(VENV)/bin
CONSTRAINTS := constraints/py$(if $(filter 3.11,$(VERSION)),311,312).txt
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c $(CONSTRAINTS)
export JAX_PLATFORMS ?= cpu

.PHONY: demo test lint docs bench clean

demo: $(VENV)/.run
	rm -rf runs/demo
	$(BIN)/jaxdaw train dqn CartPole-v1 --out runs/demo
	$(BIN)/jaxdaw evaluate runs/demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -q -n 2 --dist worksteal $(ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check src tests examples benchmarks scripts
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python scripts/reach.py

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -W -b html docs docs/_build/html

bench: $(VENV)/.test
	for name in import_time train_step act loop; do $(BIN)/python benchmarks/$$name.py; done

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/.test: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(PIP) -e '.[test,box2d,video]'
	touch $@ $(VENV)/.run

$(VENV)/.lint: pyproject.toml $(CONSTRAINTS) | $(VENV)/.test
	$(PIP) -e '.[lint]'
	touch $@

$(VENV)/.docs: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(PIP) -e '.[docs]'
	touch $@

clean:
	rm -rf .venv-* build docs/_build .pytest_cache .ruff_cache
