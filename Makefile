PYTHON ?= python3

.PHONY: setup test
setup: .venv/.stamp

.venv/.stamp: requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

test: setup
	.venv/bin/ruff check kfashion_d2 tests
	.venv/bin/ruff format --check kfashion_d2 tests
	.venv/bin/mypy
	.venv/bin/python -m pytest -q
