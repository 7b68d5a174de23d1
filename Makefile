# make demo       simulate spikes, fit LFADS to them, write scores and figures into demo/
# make check      lint, types and quick tests, in about two minutes: run it before every commit
# make test       lint, types and all tests but the slow ones
# make test-all   everything: slow tests, oldest and newest versions of Python and of all dependencies
# make docs       build the documentation site into site/; a broken link or a public name without a page fails it
# make package    build the wheel and the source archive, check them, and try the wheel in a bare environment
# make clean      remove the environments, caches and build products
#
# They need nothing but a Python of at least 3.11: they make a virtual environment and install the package into it. They
# install again only when pyproject.toml has changed.
#
#   make test PYTHON=python3.12        make the environment with another Python
#   make test LFADSX_VENV=/path/env    put the environment elsewhere, or use one that exists
#   make test-all NEWEST=python3.14    the newest Python for test-all

PYTHON ?= python3
NEWEST ?= python3.13
LFADSX_VENV ?= .venv

BIN := $(LFADSX_VENV)/bin
DEMO_READY := $(LFADSX_VENV)/.lfadsx-demo
TEST_READY := $(LFADSX_VENV)/.lfadsx-test
FORMATS_READY := $(LFADSX_VENV)/.lfadsx-formats
DOCS_READY := $(LFADSX_VENV)/.lfadsx-docs

.PHONY: demo check test test-all test-oldest test-newest docs package clean

PYTEST := -m pytest -n auto --dist worksteal --durations 10
# Files that compile little, and a few that build, train and infer with small models.
QUICK := $(patsubst %,tests/test_%.py,architecture baselines builders data data_errors dataset evaluation example_scores \
	generation inference messages metrics old_run output_file plotting_scores search synthetic tensorflow_settings \
	testing verdict)

demo: $(DEMO_READY)
	$(BIN)/lfadsx demo

check: SELECTED = $(QUICK)
test: SELECTED = -m "not slow"
check test test-all: $(TEST_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python $(PYTEST) $(SELECTED)

test-all: test-oldest test-newest $(FORMATS_READY)

docs: $(DOCS_READY)
	if [ -f docs/render_tutorials.py ]; then $(BIN)/python docs/render_tutorials.py; fi
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

package: $(DOCS_READY)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	PYTHON=$(PYTHON) sh packaging/try_wheel.sh dist/*.whl

# Versions of their own, so these environments are made anew every time.
test-oldest:
	rm -rf .venv-oldest
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python tests/oldest.py > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --editable ".[test,neo]" --constraint .venv-oldest/constraints.txt
	.venv-oldest/bin/python $(PYTEST) -m "not slow"

test-newest:
	rm -rf .venv-newest
	$(NEWEST) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --editable ".[test,neo]"
	.venv-newest/bin/python $(PYTEST) -m "not slow"

# Editable, so that a change of the code needs no new installation. The stamps say what has been installed.
$(DEMO_READY): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable ".[report]"
	touch $@

$(TEST_READY): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable ".[test]"
	touch $@

# Libraries whose objects and files are read, and which take long to install; their tests are skipped without them.
$(FORMATS_READY): pyproject.toml | $(TEST_READY)
	$(BIN)/python -m pip install --editable ".[test,neo]" "spikeinterface>=0.104"
	touch $@

$(DOCS_READY): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable ".[docs]"
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
	rm -rf .venv .venv-oldest .venv-newest build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
	find lfadsx tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
