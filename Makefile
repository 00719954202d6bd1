# The commands of this project. Each installs what it needs into .venv; python3 is all that it asks for.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Airflow 3.3 and its current providers need Python 3.11: the versions in constraints.txt fit from there on.
CONSTRAINED = $(shell $(BIN)/python -c 'import sys; print("--constraints constraints.txt" * (sys.version_info >= (3, 11)))')
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python $(CONSTRAINED)
CHECKED := airflow_kfp_runtime demo example_dags benchmarks tests

.DEFAULT_GOAL := help
.PHONY: help demo test lint soak bench constraints clean

help: ## Show the commands.
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST)

demo: $(VENV)/.demo-installed ## Train a model on real data: Airflow, and a pipeline on the embedded server (KEEP=1: stay up).
	@$(BIN)/python -m demo $(if $(KEEP),--keep)

test: lint ## Run every check and test.
	@# Three on two cores: the tests with real processes wait for most of their time. In the order of their names,
	@# since xdist would begin with the files of most tests and leave few long ones to the end.
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.test-installed ## Run ruff and mypy.
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy -p airflow_kfp_runtime -p demo

soak: $(VENV)/.test-installed ## Kill processes for half an hour while 200 pipelines run (KFP_SOAK_SEED=n: in that order).
	KFP_SOAK_RUNS=200 KFP_SOAK_ROUNDS=10 $(BIN)/pytest -s tests/test_soak.py
	KFP_HISTORIES=5000 $(BIN)/pytest --numprocesses 2 tests/test_faults_histories.py

BENCHMARKS := $(basename $(notdir $(shell grep -l __main__ benchmarks/*.py)))

bench: $(VENV)/.test-installed ## Run the benchmarks.
	@for benchmark in $(BENCHMARKS); do echo "== $$benchmark"; $(BIN)/python -m benchmarks.$$benchmark || exit 1; done

constraints: $(VENV)/.test-installed ## Bring constraints.txt to the newest versions.
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra test \
		--no-header --no-annotate --output-file constraints.txt pyproject.toml

clean: ## Remove environments, caches and the demo's data.
	rm -rf $(VENV) .cache .demo .hypothesis .mypy_cache .pytest_cache .ruff_cache dist

$(BIN)/uv:
	PYTHON=$(PYTHON) .ci/environment $(VENV)

$(VENV)/.demo-installed: pyproject.toml constraints.txt | $(BIN)/uv
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.test-installed: pyproject.toml constraints.txt | $(BIN)/uv
	$(INSTALL) --editable '.[test]'
	@touch $@
