# make demo    simulate spikes, fit LFADS to them, write scores and figures into demo/
# make test    run the checks: ruff, pyright and the tests that take less than ten minutes on two cores
# make test-all   the same with the slow tests: every example, long comparisons of derivatives, all benchmarks in miniature
# make clean   remove the environment .venv, caches and build products
#
# The first two need nothing but a Python of at least 3.11: they make a virtual environment and install the
# package into it. They install again only when pyproject.toml has changed.
#
#   make test PYTHON=python3.12        make the environment with another Python
#   make test LFADSX_VENV=/path/env    put the environment elsewhere, or use one that exists

PYTHON ?= python3
LFADSX_VENV ?= .venv

BIN := $(LFADSX_VENV)/bin
DEMO_READY := $(LFADSX_VENV)/.lfadsx-demo
TEST_READY := $(LFADSX_VENV)/.lfadsx-test

.PHONY: demo test test-all clean

demo: $(DEMO_READY)
	$(BIN)/lfadsx demo

test: SELECTED = -m "not slow"
test test-all: $(TEST_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n auto --dist worksteal $(SELECTED)

# Editable, so that a change of the code needs no new installation. The stamps say what has been installed.
$(DEMO_READY): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable ".[plot]"
	touch $@

$(TEST_READY): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable ".[test]"
	touch $@

# A half-made environment must not pass for a whole one: without its python this rule runs again.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "lfadsx needs Python 3.11 or newer, and $(PYTHON) is not one."; \
		echo "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; \
	}
	$(PYTHON) -m venv $(LFADSX_VENV) || { rm -f $@; exit 1; }

# Only the environment of the default name: one that was named on the command line may hold more than ours.
clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find lfadsx tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
