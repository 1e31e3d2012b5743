# make setup | demo | test | test-all | lint | format | clean
PYTHON ?= python3
# One thread computes, the data loader has the other core. Two that wait for each other by spinning are hardly faster
# alone, and many times slower where the cores are shared.
export OMP_NUM_THREADS ?= 1
PIP := .venv/bin/python -m pip --disable-pip-version-check

.PHONY: setup demo test test-all lint format clean

setup: .venv/.stamp

.venv/.stamp: requirements.txt setup.py tools/install_detectron2.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "make: $(PYTHON) is not Python 3.10 to 3.13; name one: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet -r requirements.txt
	.venv/bin/python tools/install_detectron2.py
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	.venv/bin/python tools/demo.py --output output/demo

test: lint
	.venv/bin/python -m pytest -q -m "not slow"

test-all: lint
	.venv/bin/python -m pytest -q

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean:
	rm -rf .venv .cache build dist *.egg-info output/demo .mypy_cache .ruff_cache .pytest_cache
