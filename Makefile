# `make demo` and `make test` need only python3 (>= 3.11) and make: everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.empo-installed
ARGS ?=
# Processes that share the tests: one per core.
WORKERS ?= auto

# A CPU build of torch that pip can already find (its name ends in +cpu) is taken as it is; otherwise PyTorch's own CPU index is asked
# as well, because PyPI alone would bring several GB of CUDA on Linux.
TORCH := 2.13.0
CPU_INDEX := https://download.pytorch.org/whl/cpu

# Two threads that wait for each other are slower than one on tensors this small.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export NUMBA_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: help install demo test test-all fuzz check format bench finetune-study clean

help:
	@echo "make demo      solve, learn, compare and draw the default world (writes demo/)"
	@echo "make test      the fast tests        make test-all  the slow ones too"
	@echo "make fuzz      minutes of random files, values and call orders (FUZZ_EXAMPLES=4000)"
	@echo "make check     format, lint, types and the fast tests"
	@echo "make bench     the benchmarks        make clean     remove what was built"
	@echo "make finetune-study   the robot arm's study, four CPU hours; ARGS=\"gaussian --limit 3\" for a part of it, goes on where it stopped"

install: $(STAMP)

$(STAMP): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("EMPO needs Python 3.11 or newer; try: make PYTHON=python3.12") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (some minutes, the first time)"
	@$(BIN)/python -c 'import torch, sys; sys.exit(not torch.__version__.startswith("$(TORCH)"))' 2>/dev/null \
	  || $(BIN)/pip install -q "torch==$(TORCH)+cpu" 2>/dev/null \
	  || $(BIN)/pip install -q --extra-index-url $(CPU_INDEX) "torch==$(TORCH)"
	@$(BIN)/pip install -q -c constraints.txt -e ".[dev,zoo,plots,pettingzoo,franka]" --config-settings editable_mode=compat
	@touch $@

demo: $(STAMP)
	$(BIN)/empo demo -o demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-all: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -m "" $(ARGS)

# Ten minutes of hostile files, values and call orders; ARGS="--hypothesis-seed=1" for other ones.
fuzz: $(STAMP)
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n $(WORKERS) -m "" $(wildcard tests/test_fuzz_*.py) tests/test_call_orders.py tests/test_sb3_keywords.py $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

format: $(STAMP)
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	@for script in $(filter-out benchmarks/finetune.py benchmarks/studies.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; done

finetune-study: $(STAMP)
	nice -n 10 $(BIN)/python benchmarks/finetune.py $(ARGS)

clean:
	rm -rf demo logs runs solutions build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
