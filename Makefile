# Two commands matter: `make demo` and `make test`. Both make the environment they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 4

.PHONY: soak help demo test lint types arrows sizes unit environment benchmarks clean test-ray test-slurm test-torch

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
	$(BIN)/steelyard demo jobs --out out/demo
	$(BIN)/steelyard demo seed-math

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

test-ray: $(STAMP)  ## The Ray executor on a real cluster of several raylets (installs Ray beside, 300 MB)
	test -x .venvs/ray/bin/ray || { $(PYTHON) -m venv .venvs/ray && .venvs/ray/bin/pip install --quiet --editable '.[ray]'; }
	STEELYARD_RAY_PYTHON=$(CURDIR)/.venvs/ray/bin/python $(BIN)/python -m pytest -rA tests/jobs/executors/test_ray.py

test-slurm: $(STAMP)  ## The Slurm executor on a real slurmctld and several slurmd (needs slurm-wlm and munge, and root)
	STEELYARD_SLURM=1 $(BIN)/python -m pytest -rA tests/jobs/executors/test_slurm.py

test-torch: $(STAMP)  ## The PyTorch example (installs the CPU build beside, 1 GB)
	test -x .venvs/torch/bin/python || { $(PYTHON) -m venv .venvs/torch && .venvs/torch/bin/pip install --quiet torch==2.13.0 numpy; }
	STEELYARD_TORCH_PYTHON=$(CURDIR)/.venvs/torch/bin/python $(BIN)/python -m pytest -rA tests/examples/test_training.py

soak: $(STAMP)  ## Hours of faults: 300 kills, ten minutes of busy processors, a million seeds
	$(BIN)/python -m tests.harness.controller_kills --kills 300
	STEELYARD_SATURATED_S=600 $(BIN)/python -m pytest -n 0 --timeout 900 tests/jobs/executors/test_local.py -k busy
	$(BIN)/python -m steelyard.simulation.jobs_faults --seeds 1000000

benchmarks: $(STAMP)  ## Measure beside the peers that are installed (see benchmarks/README.md)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) out dist build .mypy_cache .ruff_cache .pytest_cache
