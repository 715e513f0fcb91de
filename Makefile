# Two commands matter: `make demo` and `make test`. Both make the environment they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
WORKERS ?= 4
FUZZ_SECONDS ?= 300
ENGINE_VENV ?= .venv-engine

.PHONY: help pure demo test lint types arrows sizes unit environment benchmarks clean test-ray test-slurm test-torch
.PHONY: fuzz test-engine soak docs packages

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

unit: $(COMPILED)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

docs: $(STAMP)  ## Build the documentation site in out/docs/site; every link must lead somewhere
	$(BIN)/python -m tools.docs_site

packages: $(STAMP) .venvs/linters/.installed  ## Build and install wheel and sdist every way; lint deploy/ (minutes)
	STEELYARD_PACKAGES=1 $(BIN)/python -m pytest -rs -n 2 tests/packages tests/deploy

.venvs/linters/.installed: deploy/linters.txt
	$(PYTHON) -m venv .venvs/linters
	.venvs/linters/bin/pip install --quiet --requirement deploy/linters.txt
	touch $@

fuzz: $(STAMP)  ## Fuzz every reader of strangers' bytes, FUZZ_SECONDS each; guided by coverage too, with atheris
	$(BIN)/python -m tools.fuzz all --seconds $(FUZZ_SECONDS)
	@if $(BIN)/python -c 'import atheris' 2>/dev/null; \
	then $(BIN)/python -m tools.fuzz all --guided --seconds $(FUZZ_SECONDS); \
	else echo "no guided run: atheris is not installed (pip install 'steelyard[fuzz]')"; fi

test-engine: $(COMPILED) $(ENGINE_VENV)/.installed  ## Test beside a real engine: llama.cpp with a tiny random model
	STEELYARD_ENGINE_PYTHON=$(abspath $(ENGINE_VENV))/bin/python $(BIN)/python -m pytest tests/real_engine

$(ENGINE_VENV)/.installed:
	$(PYTHON) -m venv $(ENGINE_VENV)
	$(ENGINE_VENV)/bin/python -m pip install --quiet xllamacpp gguf numpy
	touch $@

test-ray: $(STAMP)  ## The Ray executor on a real cluster of several raylets (installs Ray beside, 300 MB)
	test -x .venvs/ray/bin/ray || { $(PYTHON) -m venv .venvs/ray && .venvs/ray/bin/pip install --quiet --editable '.[ray]'; }
	STEELYARD_RAY_PYTHON=$(CURDIR)/.venvs/ray/bin/python $(BIN)/python -m pytest -rA tests/jobs/executors/test_ray.py

test-slurm: $(STAMP)  ## The Slurm executor on a real slurmctld and several slurmd (needs slurm-wlm and munge, and root)
	STEELYARD_SLURM=1 $(BIN)/python -m pytest -rA tests/jobs/executors/test_slurm.py

test-torch: $(STAMP)  ## The PyTorch example (installs the CPU build beside, 1 GB)
	test -x .venvs/torch/bin/python || { $(PYTHON) -m venv .venvs/torch && .venvs/torch/bin/pip install --quiet torch==2.13.0 numpy; }
	STEELYARD_TORCH_PYTHON=$(CURDIR)/.venvs/torch/bin/python $(BIN)/python -m pytest -rA tests/examples/test_training.py

soak: $(COMPILED)  ## Hours of faults: 300 kills, ten minutes of busy processors, a million seeds
	$(BIN)/python -m tests.harness.controller_kills --kills 300
	STEELYARD_SATURATED_S=600 $(BIN)/python -m pytest -n 0 --timeout 900 tests/jobs/executors/test_local.py -k busy
	$(BIN)/python -m tools.soak --last 999999 --progress out/soak/seeds.json

benchmarks: $(COMPILED)  ## Measure beside the peers that are installed (see benchmarks/README.md)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(ENGINE_VENV) out dist build .mypy_cache .ruff_cache .pytest_cache
