# paylab: `make` lists the targets. Needs Python 3.11+, make and git; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SCENARIO ?= coordinator-crash
SEED ?= 1
# Tests and worlds start dozens of processes of the same code, which is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check lint bench up down secrets compiled notebooks notebooks-run clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("paylab needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv .venv

.venv/.lab: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing paylab and its pinned dependencies into .venv (about a minute) ..."
	@$(PIP) --editable '.[services,lab]'
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing paylab, its pinned dependencies and the test tools into .venv (about a minute) ..."
	@$(PIP) --editable '.[services,lab,notebooks,dev]'
	@touch .venv/.lab $@

run: .venv/.lab ## a failure scenario, real and simulated side by side; ends with the verdict and the report's path
	@$(BIN)/paylab run $(SCENARIO) --world processes --world simulated --seed $(SEED)

test: .venv/.dev ## all tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.dev ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

check: lint test ## everything that has to hold before a commit

bench: .venv/.dev ## the benchmarks: the simulator and its peers, libraries, and the platform against its floor
	@$(BIN)/python -m benchmarks

compiled: .venv/.dev ## the simulator's model as machine code in build/compiled (two minutes, needs a C compiler); prints its use
	@$(BIN)/paylab compile

up: .venv/.lab ## the whole platform in containers: build, start, wait, print the addresses (processes instead: `paylab up`)
	@$(BIN)/paylab up --world compose

down: .venv/.lab ## stop those containers; `make down VOLUMES=1` also deletes their databases and secrets
	@$(BIN)/paylab down --world compose $(if $(VOLUMES),--volumes)

secrets: .venv/.lab ## generate the platform's secrets, for `docker compose up` typed by hand
	@$(BIN)/python -m scenarios.worlds.compose_secrets

notebooks: .venv/.dev ## open the notebooks in JupyterLab (Ctrl-C twice stops it)
	@$(BIN)/jupyter lab --notebook-dir notebooks

notebooks-run: .venv/.dev ## run the notebooks' sources and store their output beside them; SOURCE=notebooks/03-... for one
	@$(BIN)/python notebooks/execute.py $(SOURCE)

clean: ## remove the environment and all caches (never the runs)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build
