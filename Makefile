# Open Cookbook. `make demo` and `make test` are all a fresh machine needs; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3,$(shell $(p) -c 'import sys; print("$(p)" if (3,11) <= sys.version_info[:2] <= (3,12) else "")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt
FOR_KERNELS := numba PyGitLinguist pygments regex tree-sitter tree-sitter-javascript
RECIPE ?= starter

export COOKBOOK_HOME ?= $(CURDIR)/.cookbook
export DAGSTER_HOME := $(COOKBOOK_HOME)/dagster
export DAGSTER_MODULE_NAME := orchestration.definitions
export DAGSTER_CLI_DEV_USE_LEGACY_CODE_SERVER_BEHAVIOR := 1
# What is imported is compiled once, not by pip and not by every process again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test suite check format ui teacher ablations docs-check clean-state

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Open Cookbook needs Python 3.11 or 3.12; found neither on PATH. Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 1; }
	@echo "installing into $(VENV) with $(PYTHON) (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip # an older one resolves a minute longer
# Two things at a time where there are two cores: Spark beside the rest, then the kernels (compiled
# once for this machine; if that fails here, set-up does it and says so) beside what is left, which
# complains if the line before it failed.
	@$(PIP) --no-deps pyspark jieba zhconv & \
	 $(PIP) --no-warn-conflicts mlflow torch transformers dagster-webserver dbt-duckdb $(FOR_KERNELS); wait
	@$(BIN)/python -m assets.refinecode.kernels 2> /dev/null & \
	 $(PIP) -e '.[dev,teacher,zh]' && wait
	@touch $@

setup: $(VENV)/.installed ## create .venv, install the pinned dependencies, prepare the state folder
	@$(BIN)/cookbook setup --quiet

demo: setup ## run the whole cookbook for the starter recipe and print what came out
	@$(BIN)/cookbook run $(RECIPE)

test: setup ## lint, types and the whole test suite
	@$(MAKE) --no-print-directory -j2 check suite

suite: $(VENV)/.installed
	@$(BIN)/python -m pytest -q -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(VENV)/.installed ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(VENV)/.installed ## let ruff format and mend what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

ui: setup ## Dagster UI and MLflow UI on the state the demo left
	@$(BIN)/cookbook ui

teacher: setup ## fetch the small real model (SmolLM2-135M-Instruct) that is scored beside ours
	@$(BIN)/cookbook teacher

ablations: setup ## the studies in orchestration/studies, variant by variant
	@. $(BIN)/activate && dagster job execute -j ablations

clean-state: ## remove the state folder (lake, warehouse, runs), never source
	@$(if $(wildcard $(COOKBOOK_HOME)),rm -rf -- "$(COOKBOOK_HOME)" && echo "removed $(COOKBOOK_HOME)",echo "no state at $(COOKBOOK_HOME)")
