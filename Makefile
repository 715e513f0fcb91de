# Two commands matter: `make demo` and `make test`. Both make the environment they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 4

.PHONY: help demo test lint types arrows sizes unit environment benchmarks clean

help:  ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "steelyard needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

environment: $(STAMP)  ## Make the virtual environment

demo: $(STAMP)  ## Watch real traffic flow through a fleet while engines die
	$(BIN)/steelyard demo --out out/demo

test: lint types arrows sizes unit  ## Everything that must hold before a change lands

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

arrows: $(STAMP)
	$(BIN)/lint-imports

sizes: $(STAMP)
	$(BIN)/python tools/check_sizes.py src tests tools benchmarks

unit: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

benchmarks: $(STAMP)  ## Measure beside the peers that are installed (see benchmarks/README.md)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) out dist build .mypy_cache .ruff_cache .pytest_cache
