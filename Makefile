# On a fresh machine with Python 3.11, 3.12 or 3.13 and make: `make demo`.
# Another interpreter has an environment of its own: `make test PYTHON=python3.12` uses .venv-3.12.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV ?= .venv$(if $(filter-out 3.11,$(VERSION)),-$(VERSION))
BIN := $(VENV)/bin
CONSTRAINTS := constraints/py$(if $(filter 3.11,$(VERSION)),311,312).txt
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check -c $(CONSTRAINTS) -e
CODE := src tests scripts docs/conf.py $(wildcard benchmarks examples)
BENCHMARKS := import_time train_step sac_step act loop cloning_step data_speed log_speed
DEMO := runs/demo
# Most of the tests' time is compilation of small programs that run once, so machine code is not optimized. On Python 3.11
# (jax 0.10) compilation also takes a fifth less time without the newer fusion emitters, and a quarter less when a program
# is not split between threads. Python 3.12 has jax 0.12, which has no other emitters; XLA aborts on a flag it lacks.
COMPILE_FAST := --xla_backend_optimization_level=0 $(if $(filter 3.11,$(VERSION)),\
	--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1)

.PHONY: help demo test lint format docs bench soak clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo    train DQN on CartPole-v1, plot and evaluate it, in $(DEMO)'
	@echo 'make test    every test and doctest; ARGS="-k replay" narrows them'
	@echo 'make lint    style, types, layers; and how much source it takes to follow DQN, and a run'
	@echo 'make format  put the code in its usual form'
	@echo 'make docs    build docs/_build/html'
	@echo 'make bench   measure speed against hand-written JAX'
	@echo 'make soak    half an hour of kills: runs of every algorithm, killed and resumed, must lose nothing'
	@echo 'make clean   remove everything that these made, but for runs/'

demo: $(VENV)/.installed
	@rm -rf $(DEMO)
	$(BIN)/jaxdaw train dqn CartPole-v1 --out $(DEMO)
	$(BIN)/jaxdaw evaluate $(DEMO)
	@echo 'learning curve: $(DEMO)/learning_curve.png'

test: $(VENV)/.test
	JAX_PLATFORMS=cpu XLA_FLAGS="$(COMPILE_FAST)" $(BIN)/python -m pytest -q -n 2 --dist worksteal $(ARGS)

lint: $(VENV)/.lint $(VENV)/.test
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo
	@$(BIN)/python scripts/reach.py jaxdaw.agents.DqnAgent jaxdaw.training.train

format: $(VENV)/.lint
	$(BIN)/ruff check -q --fix-only $(CODE)
	$(BIN)/ruff format $(CODE)

docs: $(VENV)/.docs
	JAX_PLATFORMS=cpu $(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo 'docs/_build/html/index.html'

bench: $(VENV)/.installed
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done
	$(BIN)/python benchmarks/act.py --sync

soak: $(VENV)/.installed
	XLA_FLAGS="$(COMPILE_FAST)" $(BIN)/python scripts/soak.py --kills 300 $(ARGS)

clean:
	rm -rf .venv .venv-* build src/*.egg-info docs/_build .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@test -n '$(filter 3.11 3.12 3.13,$(VERSION))' || \
		{ echo 'jaxdaw needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)' >&2; exit 1; }
	@echo 'making $(VENV) with Python $(VERSION)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: EXTRAS :=
$(VENV)/.test: EXTRAS := [test,box2d,video]
$(VENV)/.lint: EXTRAS := [lint]
$(VENV)/.docs: EXTRAS := [docs]
$(VENV)/.installed $(VENV)/.test $(VENV)/.lint $(VENV)/.docs: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo 'installing jaxdaw$(EXTRAS) into $(VENV)'
	@$(INSTALL) '.$(EXTRAS)'
	@touch $@
