# Two commands matter: `make demo` and `make test`. Both make the environment they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
WORKERS ?= 4

.PHONY: help pure demo test lint types arrows sizes unit environment benchmarks clean

help:  ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "steelyard needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	STEELYARD_COMPILE=0 $(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

# The data plane is compiled where that can be done (tools/compile_data_plane.py), and again when it changes.
$(COMPILED): $(STAMP) $(shell $(PYTHON) tools/compile_data_plane.py --list)
	@$(BIN)/python tools/compile_data_plane.py || echo "steelyard: goes on without compiled parts"
	touch $(COMPILED)

pure: $(STAMP)  ## Take the compiled parts away
	$(BIN)/python tools/compile_data_plane.py --remove
	rm -f $(COMPILED)

environment: $(COMPILED)  ## Make the virtual environment

demo: $(COMPILED)  ## Watch real traffic flow through a fleet while engines die
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

unit: $(COMPILED)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

benchmarks: $(COMPILED)  ## Measure beside the peers that are installed (see benchmarks/README.md)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) out dist build .mypy_cache .ruff_cache .pytest_cache
