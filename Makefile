# make demo   a synthetic CT of a drawn head, from nothing but Python: environment, runtime without torch, volume, picture
# make test   everything the tests need, and all of them
# make check  formatting, lint, types and the direction of imports only
# make bench  the CPU benchmarks, one after the other; BENCH="--model FOLDER" gives them another model than head-t1
PYTHON ?= python3
VENV := .venv
BENCH ?= --model head-t1
BIN := $(VENV)/bin
# An unpinned torch brings gigabytes of CUDA; tests need none of it. PyTorch's own index has small CPU builds.
TORCH ?= torch==2.13.0
TORCH_INDEX ?= --extra-index-url https://download.pytorch.org/whl/cpu
# One more than there are cores: some tests wait for a network or for processes to die
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench clean

demo: $(VENV)/runtime
	@mkdir -p build/demo
	@$(BIN)/python tests/phantom.py build/demo/head.nii.gz
	@$(BIN)/mr2ct-run build/demo/head.nii.gz --picture build/demo/head.png --overwrite

test: $(VENV)/dev check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not ctrl_c" --cov --cov-report= $(PYTEST)
	$(BIN)/python -m pytest -m ctrl_c --cov --cov-append --cov-report= tests/runtime
	$(BIN)/python -m coverage report --include='runtime/*,export/*' --fail-under=90

check: $(VENV)/dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev
	$(BIN)/python benchmarks/latency.py $(BENCH)
	$(BIN)/python benchmarks/peers.py $(BENCH)
	$(BIN)/python benchmarks/scaling.py $(BENCH)
	$(BIN)/python benchmarks/footprint.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: pyproject.toml | $(BIN)/python
	$(PIP) -e '.[cpu]'
	@touch $@

$(VENV)/dev: pyproject.toml | $(BIN)/python
	$(PIP) $(TORCH) $(TORCH_INDEX)
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/runtime

clean:
	rm -rf $(VENV) build dist
