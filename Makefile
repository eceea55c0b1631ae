# `make demo` and `make test` set up all they need, on a machine with Python 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check screenshots clean

demo: .venv/demo
	$(BIN)/python app.py

test: .venv/test
	$(BIN)/python -m pytest --ignore=tests/browser -n 2 --dist worksteal
	$(BIN)/python -m pytest tests/browser

check: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

.venv/demo: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'nst_demo needs Python 3.11 or later; name one: make demo PYTHON=python3.11' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/test: .venv/demo requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

screenshots: .venv/test
	$(BIN)/python -m bench.screenshot

clean:
	rm -rf .venv .pytest_cache .ruff_cache build *.egg-info
