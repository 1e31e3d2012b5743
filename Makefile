# make setup | demo | test | test-all | lint | format | clean
PYTHON ?= python3
# Threads that wait give their core away: spinning makes training many times slower where cores are shared.
export OMP_WAIT_POLICY ?= PASSIVE
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
