# Every target makes the virtual environment when it is missing; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help train test test-slow lint clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: .venv/ready  ## Train PPO on Space Invaders for about five minutes, evaluate it, save and prove its best game
	$(BIN)/sparring train ppo $(ARGS)

test: lint  ## Lint, type-check and run the fast tests
	$(BIN)/pytest -q -n auto --maxprocesses 4

test-slow: .venv/ready  ## Run the tests that take over 30 seconds each
	$(BIN)/pytest -q -m slow --timeout 3000

lint: .venv/ready  ## Check style (ruff) and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## Remove the virtual environment and caches; runs/ stays
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

.venv/ready: pyproject.toml setup.py constraints.txt
	@echo "setting up .venv (once; a minute or two, most of it PyTorch) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --upgrade pip > .venv/install.log 2>&1 \
	 && $(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]' >> .venv/install.log 2>&1 \
	 || { cat .venv/install.log; exit 1; }
	@touch $@
