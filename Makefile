# Needs make and Python 3.11, 3.12 or 3.13; everything else is set up in
# .venv by the targets themselves, again only when the requirements change.

SHELL := /bin/sh
VENV  := .venv
PY    := $(VENV)/bin/python
HTML  := _build/html

# The same number of threads everywhere: the same numbers, and no fight for
# cores. Another number: make book OMP_NUM_THREADS=4
export OMP_NUM_THREADS ?= 2
export MKL_NUM_THREADS ?= $(OMP_NUM_THREADS)
export OPENBLAS_NUM_THREADS ?= $(OMP_NUM_THREADS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

BOOK_HASH := $(shell cat requirements.txt pyproject.toml | cksum | tr -d ' \t')
TEST_HASH := $(shell cat requirements.txt pyproject.toml \
               requirements-test.txt | cksum | tr -d ' \t')
LIBRARIES := .libraries
LIBRARIES_HASH := $(shell cksum < requirements-libraries.txt | tr -d ' \t')
LIBRARIES_READY := $(LIBRARIES)/.ready-$(LIBRARIES_HASH)
PEERS := .peers
PEERS_READY := $(PEERS)/.ready-$(shell cksum < benchmarks/requirements.txt \
                 | tr -d ' \t')
BOOK_READY := $(VENV)/.book-$(BOOK_HASH)
TEST_READY := $(VENV)/.test-$(TEST_HASH)

PIP   := $(PY) -m pip install --quiet
# Chapters and tests do small work: one thread is fastest, most of all on a
# busy machine, where threads wait for each other.
# Tests start many interpreters: the first one's bytecode serves all.
ALONE := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
         PYTHONDONTWRITEBYTECODE=
# Two processes instead, each with its share of the tests.
WORKERS ?= 2
# Whatever hangs ends: each test has its own limit (pyproject.toml), and this
# many seconds are for a whole target. A slower machine: make test LIMIT=7200
LIMIT ?= 3600
WITHIN := $(ALONE) $(PY) tests/limit.py $(LIMIT)
TESTS := $(WITHIN) $(PY) -m pytest
BUILD := $(WITHIN) $(VENV)/bin/jupyter-book build . --all -n -W --keep-going
SPLIT := -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help book book-instructor test test-full test-libraries \
        test-pages test-kill test-load test-repeat test-oldest test-newest \
        test-gpu coverage lint dist serve bench pdf bundle clean

help: ## this list
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile \
	  | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

book: $(BOOK_READY) ## the book, executed, in _build/html
	@DLDNA_EDITION=student $(BUILD)
	@echo "The book: $(HTML)/index.html"

book-instructor: $(BOOK_READY) ## the book with solutions open and teacher notes
	@DLDNA_EDITION=instructor $(BUILD) --path-output _build/instructor
	@echo "The book: _build/instructor/_build/html/index.html"

test: $(TEST_READY) ## unit tests, oracles and doctests
	@$(TESTS) $(SPLIT) -m "not page and not full"

test-full: $(TEST_READY) ## whole tables, of which make test takes a part
	@$(TESTS) $(SPLIT) -m full tests

# What a reader would type runs in a process of its own, as theirs does.
test-libraries: $(LIBRARIES_READY) ## networks and files of other libraries
	@PYTHONPATH="$(CURDIR)/$(LIBRARIES)" $(TESTS) tests/libraries/test_own_model.py
	@PYTHONPATH="$(CURDIR)/$(LIBRARIES)" $(TESTS) tests/libraries \
	  --ignore=tests/libraries/test_own_model.py

test-pages: $(TEST_READY) ## the rendered book in a browser (after make book)
	@$(TESTS) -m page tests/pages

test-kill: $(TEST_READY) ## kill -9, fifty times for each kind of job
	@$(WITHIN) $(PY) tests/promises/kill_many.py

test-load: $(TEST_READY) ## large jobs within stated bounds of memory
	@$(WITHIN) $(PY) tests/promises/load.py

test-repeat: $(TEST_READY) ## every chapter twice, and once on two threads
	@$(PY) tests/promises/repeat.py

test-oldest: ## the package's tests with the oldest versions it supports
	@$(call MATRIX,oldest,python3.11)

test-newest: ## the package's tests with the newest versions there are
	@$(call MATRIX,newest,python3.13 python3.12 python3.11)

test-gpu: $(TEST_READY) ## oracles, promises and times on one GPU: gpu.json
	@$(PY) tests/limit.py 240 $(PY) tests/gpu.py

coverage: $(TEST_READY) ## the tests, with the lines of dldna/ they reach
	@$(TESTS) $(SPLIT) -m "not page and not full" --cov --cov-report=term-missing:skip-covered

lint: $(TEST_READY) ## style of the code, form of the notebooks, claims
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) book/tools/notebooks.py check
	@$(PY) book/tools/claims.py check

dist: $(TEST_READY) ## wheel and sources, built, installed apart and used
	@$(WITHIN) $(PY) tests/dist.py

serve: $(BOOK_READY) ## the built book at http://localhost:8000
	@test -f $(HTML)/index.html || { echo "first: make book"; exit 1; }
	@$(PY) -m http.server 8000 --bind 127.0.0.1 --directory $(HTML)

bench: $(LIBRARIES_READY) $(PEERS_READY) ## ours beside what a user would pick instead
	@PYTHONPATH="$(CURDIR)/$(PEERS):$(CURDIR)/$(LIBRARIES)" \
	  sh benchmarks/studies/paused.sh $(PY) -m benchmarks

# Chromium prints for minutes, on pages that stand: it does not build them.
pdf: $(TEST_READY) ## the built book in one file, _build/dldna.pdf
	@test -f $(HTML)/index.html || { echo "first: make book"; exit 1; }
	@$(WITHIN) $(PY) book/tools/pdf.py

bundle: book ## the book, notebooks and wheels list for a class offline
	@$(PY) book/tools/bundle.py

# An environment of its own for each end of the supported range. torch comes
# from wherever pip is told to look, which on Linux may mean a build for GPUs
# and gigabytes; PIP_INDEX_URL or PIP_FIND_LINKS choose another. All tests but
# those of the book and its pages run, for these need the book's environment.
define MATRIX
for candidate in $(PYTHON) $(2); do \
  if $$candidate -c 'import ensurepip' >/dev/null 2>&1; \
  then python=$$candidate; break; fi; done; \
if [ -z "$$python" ]; then \
  echo "None of $(2) was found; name one: make test-$(1) PYTHON=..."; \
  exit 1; fi; \
test -d .venv-$(1) || $$python -m venv .venv-$(1) || exit 1; \
.venv-$(1)/bin/python -m pip install --quiet --upgrade \
  -r requirements-$(1).txt || exit 1; \
.venv-$(1)/bin/python -m pip install --quiet --no-deps -e . || exit 1; \
$(ALONE) .venv-$(1)/bin/python tests/limit.py $(LIMIT) \
  .venv-$(1)/bin/python -m pytest -m "not page and not slow and not full" \
  --ignore=tests/book --ignore=tests/pages --ignore=tests/promises/test_page.py \
  --ignore=tests/promises/repeat.py --ignore=tests/promises/test_repeat.py
endef

clean: ## what was built; .venv stays (remove it by hand)
	@rm -rf _build build dist *.egg-info .pytest_cache .ruff_cache .coverage

# --- the environment ---------------------------------------------------
# A stamp is written last, so that an interrupted set-up starts again; its
# name is a hash of the requirements, so that a change of them sets up anew.

.PHONY: environment
environment:
	@$(PY) -m pip --version >/dev/null 2>&1 && exit 0; \
	python=; \
	for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	  if $$candidate -c 'import sys, venv, ensurepip; \
sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	  then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer with venv is needed, and none was found."; \
	  echo "Name one: make book PYTHON=/path/to/python3.11"; exit 1; fi; \
	echo "Setting up $(VENV) with $$($$python --version)"; \
	$$python -m venv --clear $(VENV)

$(BOOK_READY):
	@$(MAKE) --no-print-directory environment
	@echo "Installing what the book needs (minutes, once)"
	@rm -f $(VENV)/.book-* $(VENV)/.test-*
	@$(PIP) "$$(grep '^torch==' requirements.txt)"
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps -e .
	@touch $@

$(TEST_READY): $(BOOK_READY)
	@echo "Installing what the tests need"
	@rm -f $(VENV)/.test-*
	@$(PIP) -r requirements-test.txt
	@touch $@

# Beside .venv, not in it: each as pinned and none with its dependencies, so
# that no other torch comes along and the other tests see what a user has.
$(LIBRARIES_READY): LISTED := requirements-libraries.txt
$(PEERS_READY): LISTED := benchmarks/requirements.txt
$(LIBRARIES_READY) $(PEERS_READY): | $(TEST_READY)
	@echo "Installing what $(LISTED) lists"
	@rm -rf $(@D)
	@$(PIP) --no-deps --target $(@D) -r $(LISTED)
	@touch $@
