# Seven words. `make demo` and `make test` set everything up by themselves.
PYTHON ?= python3
VENV ?= .venv
# torch's CPU build is a tenth of the CUDA one; for a GPU: make demo TORCH=torch TORCH_INDEX=
TORCH ?= $(if $(filter Darwin,$(shell uname)),torch==2.13.0,torch==2.13.0+cpu)
TORCH_INDEX ?= --extra-index-url https://download.pytorch.org/whl/cpu
# torch for a GPU brings its own; on a CPU its interpreter runs the GPU programs in tests.
TRITON ?= triton==3.9.0
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check bench fix docs lock clean

help: ## show these words
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("qbench needs Python 3.11 or newer; try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV): about four minutes, once."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check $(TORCH) 2>/dev/null \
		|| $(BIN)/pip install -q --disable-pip-version-check $(TORCH) $(TORCH_INDEX)
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@$(BIN)/python -c 'import triton' 2>/dev/null || $(BIN)/pip install -q --disable-pip-version-check $(TRITON) \
		|| echo "No Triton for this machine: tests of GPU programs are skipped."
	@touch $@

demo: $(READY) ## set up and run the main job on the embedded engine (about seven minutes)
	$(BIN)/qbench run --suite mcp --formats fp8,w4a16

test: $(READY) ## set up and run the tests
	$(BIN)/python -m pytest

check: $(READY) ## lint, types, import contracts, migrations, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/qbench db check
	$(BIN)/python scripts/generate_docs.py --check

bench: $(READY) ## measure the harness: CPU per request, attempts per second, leaderboard at a million
	$(BIN)/python scripts/bench.py

fix: $(READY) ## format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY) ## write the generated pages
	$(BIN)/python scripts/generate_docs.py

lock: $(READY) ## pin the dependencies again
	$(BIN)/python scripts/lock.py

clean: ## remove the environment
	rm -rf $(VENV)
