# make run    start MobileSD, reachable from this network        make test    the whole suite
# make lint   style, types, import directions                    make bench   measurements

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint bench python

run: .venv/product
	@exec $(BIN)/python manage.py up --demo --lan $(ARGS)

# One line, because most who meet it have never heard of a virtual environment.
python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "Install python3 first: sudo apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "MobileSD needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Install python3-venv first: sudo apt install python3-venv"; exit 1; }

.venv/bin/python: | python
	@echo "Making .venv…"
	@$(PYTHON) -m venv .venv

# The stamps: installed again only when the requirements change.
.venv/product: requirements.txt | .venv/bin/python
	@echo "Installing…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev: requirements.txt requirements-scaled.txt requirements-dev.txt | .venv/bin/python
	@echo "Installing…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch .venv/product $@

# Forge's page needs old versions that can't live beside ours; only its tests use them.
.venv/gradio/ready: requirements-gradio.txt | .venv/bin/python
	@echo "Installing Gradio for the tests of the Forge extension…"
	@$(PYTHON) -m venv .venv/gradio
	@.venv/gradio/bin/python -m pip install --quiet --disable-pip-version-check \
	  -r requirements-gradio.txt
	@touch $@

# Tests of one group (real processes, the browser) run one after the other, beside the rest.
test: .venv/dev .venv/gradio/ready
	$(BIN)/pytest -n auto --dist loadgroup $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: .venv/dev
	$(BIN)/python -m bench $(ARGS)
