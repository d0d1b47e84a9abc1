# make demo   install, edit the example portrait, say where the result lies
# make test   install, lint, check types, run the tests
# make lint   only the first two of the checks
# make docs   write docs/cli.md again
# make bench  run the benchmarks
# make clean  remove the virtual environment and the demo's results

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# torch is pinned in constraints.txt; without the pin pip may pick a build for GPUs of several gigabytes.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
MADE := $(VENV)/.made
RUNTIME := $(VENV)/.installed
DEVELOPMENT := $(VENV)/.installed-dev
INPUTS := pyproject.toml constraints.txt

.PHONY: demo test lint docs bench clean

demo: $(RUNTIME)
	mkdir -p demo
	$(BIN)/sargan edit examples/composite.jpg --expr happy -o demo/composite-happy.jpg --overwrite
	$(BIN)/sargan edit examples/composite.jpg --grid -o demo/composite-grid.png --overwrite
	@echo "Done: look at demo/composite-happy.jpg and demo/composite-grid.png (from examples/composite.jpg)."

test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DEVELOPMENT)
	$(BIN)/python -c "from sargan_cli.app import reference; print(reference(), end='')" > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md

bench: $(DEVELOPMENT)
	set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

clean:
	rm -rf $(VENV) demo

# Some systems ship python3 without ensurepip; their own pip can then fill the environment.
$(MADE):
	$(PYTHON) -m venv $(VENV) || { \
	  $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	touch $@

# A stamp each: a second call installs nothing, a changed dependency installs again.
$(RUNTIME): $(MADE) $(INPUTS)
	$(INSTALL) -e .
	touch $@

$(DEVELOPMENT): $(MADE) $(INPUTS)
	$(INSTALL) -e ".[dev]"
	touch $@ $(RUNTIME)
