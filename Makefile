PYTHON ?= python3

.PHONY: setup test
setup: .venv/.stamp

.venv/.stamp: requirements.txt setup.py tools/install_detectron2.py
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	.venv/bin/python tools/install_detectron2.py
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

test: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pytest -q -m "not slow"
