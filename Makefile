# Everything a contributor runs. `make` alone lists it.
VENV   := .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python
STAMP  := $(VENV)/.installed
PYTEST := $(PY) -m pytest
LOCK   := --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate

export PYTHON
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help setup needs demo check static format test test-slow prove bench bench-check bench-readme docs-check size schemas docs lock build clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## make .venv with the locked packages and the project (PYTHON=... to choose an interpreter)

$(STAMP): pyproject.toml requirements/dev.txt ops/setup.sh
	@sh ops/setup.sh $(VENV)
	@touch $@

needs: $(STAMP) # what tests use beside Python; installed where that is possible, else named
	@$(PY) ops/tools/needs.py --install

demo: $(STAMP) ## the main job live, its tree, then a run killed and resumed (under a minute)
	@$(PY) ops/tools/demo.py $(BIN)/magsag

static: $(STAMP) # format, lint, imports, types
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

check: static ## format, lint, imports, types, unit tests (under a minute)
	@$(PYTEST) tests/unit -q -n 2

test: static needs ## everything, with small counts, and the coverage gate; what CI runs
	@rm -f .coverage .coverage.*
	@$(PYTEST) tests/unit tests/contract -q -n 2 --cov --cov-report= --cov-fail-under=0
	@$(PYTEST) tests/acceptance -q -n 2 --cov --cov-append --cov-report= --cov-fail-under=0
	@$(BIN)/coverage report
	@$(BIN)/coverage report --include='src/magsag/policy/*,src/magsag/services/gate/*' --fail-under=100 --skip-covered
	@$(MAKE) --no-print-directory docs-check size

test-slow: $(STAMP) needs ## unit and contract tests with many more examples each
	@$(PYTEST) tests/unit tests/contract -q -n 2 -m "not prove" --hypothesis-profile=slow --timeout=1800

prove: $(STAMP) needs ## every proof in full
	@$(PYTEST) tests/unit tests/contract tests/acceptance -m prove --hypothesis-profile=slow --timeout=3600

bench: $(STAMP) ## the figures, beside their floors and other engines: a table and JSON
	@$(PY) benchmarks

bench-check: $(STAMP) ## whether the last `make bench` has us ahead of every engine beside us
	@$(PY) benchmarks/check.py

bench-readme: $(STAMP) # put the table of the last `make bench` into README.md
	@$(PY) benchmarks/readme.py

docs-check: $(STAMP) ## pages: required, linked, dated, and every command known
	@$(PY) ops/tools/check_docs.py

size: $(STAMP) ## what the core weighs once installed, guarded
	@$(PY) ops/tools/size.py

schemas: $(STAMP) ## write the JSON Schemas of the manifests
	@$(BIN)/magsag catalog schema --write

docs: $(STAMP) ## write the generated pages
	@$(PY) -m ops.tools.write_docs

format: $(STAMP) ## put the code into its format
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet

lock: $(STAMP) ## pin the newest versions that pyproject.toml allows, with hashes
	@$(BIN)/uv pip compile $(LOCK) --upgrade -o requirements/core.txt pyproject.toml
	@$(BIN)/uv pip compile $(LOCK) --upgrade -c requirements/core.txt --group dev -o requirements/dev.txt pyproject.toml

build: $(STAMP) ## wheel and source archive in dist/
	@$(BIN)/uv build --quiet

clean: ## remove what can be made again (not .magsag)
	@rm -rf $(VENV) dist build htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests ops catalog benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
