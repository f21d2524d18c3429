# kmerit's commands. They need Python 3.11 or newer, make and a package index, nothing else.
#   make demo    the whole experiment on bundled data and models, ending with the report's name
#   make mini    the bundled models, trained anew: two and three quarter hours by estimate; it resumes
#   make regimes the studies of docs/regimes.md, for hours; it resumes
#   make test    all tests (make test-fast: without the slow ones)
#   make test-browser   the report's page in Chromium
#   make check   lint, format, types, import layers; the page's JavaScript, too
#   make bench   the engine's speed against a plain forward pass, on this machine
# Another Python: make demo PYTHON=python3.12

RIGHT_VERSION := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(RIGHT_VERSION)' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
INSTALLED := .venv/installed.stamp
LOCKED := requirements.lock requirements-torch.lock

# Where it is set, every process would compile the libraries again: 10 seconds for each that a test starts.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo mini regimes test test-fast test-browser test-gpu check bench docs dist lock clean
.DELETE_ON_ERROR:

install: $(INSTALLED)

$(INSTALLED): tools/install.py pyproject.toml $(LOCKED)
	@$(or $(PYTHON),false) -c '$(RIGHT_VERSION)' || { echo 'kmerit needs Python 3.11 or newer, and found none.' \
		'Install one, or name it: make $(or $(MAKECMDGOALS),install) PYTHON=/path/to/python3' >&2; exit 1; }
	$(PYTHON) tools/install.py .venv
	@touch $@

demo: install
	$(BIN)/kmerit run configs/demo.toml --out runs/demo

mini: install
	$(BIN)/python -m studies.bundled_models studies/bundled_models/recipes.toml --out runs/mini

# One study after the other, each into its own folder. Given again, it resumes.
REGIMES := regimes contexts contexts-encoder distances regimes-ienhancer
regimes: install
	for name in $(REGIMES); do $(BIN)/kmerit study configs/$$name.toml --out runs/$$name || exit; done

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-fast: install
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow and not browser and not gpu'

# The report's page in a real browser: Chromium, which is installed where that can be done.
test-browser: install
	$(BIN)/python tools/browser.py
	$(BIN)/python -m pytest -m browser tests/browser

# On a graphics card. It fails where there is none: a suite that skips itself proves nothing.
test-gpu: install
	$(BIN)/python -m pytest -m gpu tests/gpu

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/javascript.py

bench: install
	$(BIN)/python benchmarks/engine.py

# The newest versions that fit the ranges of pyproject.toml, for every platform and Python at once. Torch and the
# CUDA libraries that it brings stay out: which of them are wanted depends on the machine.
lock: install
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-annotate --no-header \
		--constraint requirements-torch.lock pyproject.toml --output-file requirements.lock.new
	{ echo '# Made by `make lock`; see docs/decisions/0004-locking.md.'; \
		grep -Ev '^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==' requirements.lock.new; } > requirements.lock
	rm requirements.lock.new

# The documentation site, in build/site; a broken link fails. Not --quiet, which would hide warnings from --strict.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo build/site/index.html

# What is published: a wheel and a source archive, in dist/.
dist: install
	rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist .
	@ls -l dist

# Results in runs/ are the user's, and stay.
clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
