PYTHON ?= python3
BIN := .venv/bin
# One thread computes, the data loader has the other core. Two that wait for each other by spinning are hardly faster
# alone, and many times slower where the cores are shared; and sums come out the same on every machine of a kind.
export OMP_NUM_THREADS ?= 1
# Processes that share the tests; each takes up to 2 GB.
TEST_PROCESSES ?= 2

.PHONY: setup test test-all demo lint format clean

setup: .venv/.stamp  ## .venv with everything pinned, and Detectron2

.venv/.stamp: requirements.txt setup.py tools/install_detectron2.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 13) or sys.exit("kfashion_d2 needs Python 3.10 to 3.13, and $(PYTHON) is %d.%d: run make setup PYTHON=python3.11" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python tools/install_detectron2.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test: lint  ## what CI runs: lint, types, and the tests that take seconds
	$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile -m "not slow"

test-all: lint  ## the slow tests too
	$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile

demo: setup  ## draw a data set, train, evaluate, and draw the predictions
	$(BIN)/python tools/demo.py --output output/demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## build products and caches; keeps .venv, downloads and output
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find benchmarks fuzzing kfashion_d2 tests tools -name __pycache__ -prune -exec rm -rf {} +
