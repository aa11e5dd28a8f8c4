# The book's commands; `make` alone lists them. Each one installs what it needs into .venv first, and
# installs again only when a file that lists requirements has changed.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt
READER := .venv/reader
DEVELOPER := .venv/developer
SEEDS ?= 1 2 3
SEED ?= 2027
LISTS := requirements.txt constraints.txt pyproject.toml
# Long runs of letters are images and weights; Theis is a name, positionOf a function, ot how POT is imported.
SPELL := $(PY) -m codespell_lib -L theis,positionof,ot --ignore-regex '[A-Za-z0-9+/=]{60,}' \
	*.md book/*.md notebooks/*.ipynb helpers teaching tests tools bench/*.py
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg --nbval-cell-timeout=300

# $(call timed,NAME,COMMAND,WHAT TO DO WHERE IT FAILS)
define timed
@start=$$(date +%s); { $(2); } || { echo "FAILED: $(1). $(3)"; exit 1; }; \
	echo "== $(1): $$(( $$(date +%s) - start )) s"
endef

.PHONY: help pdf book test notebooks lab bench faults seeds teaching coverage screenshots dist chapter hero format lock \
	clean clean-all html
.DEFAULT_GOAL := help

help:  ## list these commands
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-20s%s\n", $$1, $$2}'

book: notebooks  ## execute the stale chapters and build the book: _build/html/index.html
	@$(MAKE) --no-print-directory html
	@echo; echo "Seconds that each chapter took when it was last executed, on the clock and of the CPU:"
	@sed -nE 's/^\| \[?([^]|]*)(\]\([^|]*\))? \| ([0-9.]+) \| ([0-9.]+) \|$$/\1|\3|\4/p' book/run_times_table.md \
		| awk -F'|' '{printf "  %-40s %7s %7s\n", $$1, $$2, $$3}'
	@echo; echo "The book is ready. Open this file in a browser: $(CURDIR)/_build/html/index.html"

test: $(DEVELOPER)  ## everything that CI checks: style, spelling, book, chapters, helpers
	$(call timed,style,$(PY) -m ruff check --quiet . && $(PY) -m ruff format --check .,\
		\"make format\" mends most of this)
	$(call timed,spelling,$(SPELL),Mend the words or add them to SPELL in the Makefile)
	@$(MAKE) --no-print-directory html
	$(call timed,tests,OMP_NUM_THREADS=1 $(PY) -m pytest -q $(NBVAL) -n 2 --dist loadscope notebooks tests,\
		CONTRIBUTING.md says how each kind of failure is mended)
	@echo "All checks passed."

notebooks: $(READER)  ## execute the stale chapters, in order (all of them: make notebooks ALL=--all)
	$(call timed,chapters,$(PY) tools/notebooks.py execute $(ALL),The lines above name the cell)

lab: $(READER)  ## open the chapters in JupyterLab
	@$(PY) -m jupyterlab notebooks/01_the_rings.ipynb

bench: $(DEVELOPER)  ## measure the flows side by side (minutes); the results feed a page of the book
	$(call timed,bench,OMP_NUM_THREADS=1 $(PY) -m bench.run,The lines above say why)

faults: $(DEVELOPER)  ## put realistic mistakes into a copy, one at a time; say what catches each (tens of minutes)
	$(call timed,faults,$(PY) tools/faults.py --jobs 2 $(N),The lines above name what nothing has caught)

seeds: $(DEVELOPER)  ## execute chapters with other seeds: make seeds N="04 05" SEEDS="1 2 3"
	$(call timed,seeds,$(PY) tools/seeds.py $(N) --seeds $(SEEDS),The lines above name the checks that fail)

teaching: $(READER)  ## try the problem sets, and write both versions to _build/teaching: make teaching SEED=2027
	$(call timed,teaching,for set in $(basename $(notdir $(wildcard teaching/problems/*.ipynb))); do \
		$(PY) tools/problem_sets.py $$set --seed $(SEED) || exit 1; done,The lines above name the tests)

coverage: $(DEVELOPER)  ## which lines and branches of helpers/ the tests reach
	$(call timed,coverage,OMP_NUM_THREADS=1 $(PY) -m coverage run -m pytest -q tests --ignore tests/test_notebooks.py \
		&& $(PY) -m coverage report,The lines above say why)

screenshots: $(DEVELOPER) html  ## every page at 1280 and 390 px, light and dark: _build/screenshots
	@$(PY) tools/screenshots.py

dist: pdf  ## pack the book: dist/five-rings-VERSION.zip and .pdf, and a checksum
	@$(PY) tools/archive.py

chapter: $(READER)  ## pack one chapter, to run elsewhere: make chapter N=08 (dist/five-rings-chapter-08.zip)
	@$(PY) tools/chapter.py "$(N)"

pdf: $(DEVELOPER) html  ## the whole book as one PDF: dist/five-rings-VERSION.pdf (needs Chromium; minutes)
	$(call timed,pdf,$(PY) tools/pdf.py,The lines above say why)

hero: $(READER)  ## draw the README's picture anew from the committed affine flow
	@$(PY) tools/hero.py

format: $(DEVELOPER)  ## put code in order with ruff (a chapter whose code changes is stale)
	@$(PY) -m ruff format --quiet . && $(PY) -m ruff check --fix . && $(PY) -m ruff format .

lock:  ## refresh constraints.txt from what the requirements resolve to today (Python 3.11)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "Versions are locked with the oldest Python that the book supports, so that they suit all:"; \
		echo "  make lock PYTHON=python3.11"; exit 1; }
	@rm -rf _build/lock && $(PYTHON) -m venv _build/lock
	$(call timed,lock,_build/lock/bin/python -m pip install --quiet -r requirements-dev.txt,\
		Two requirements may disagree; pip says which)
	@{ echo "# Every version that requirements-dev.txt resolves to. Made by 'make lock'; do not edit."; \
		_build/lock/bin/python -m pip freeze --exclude-editable \
		| grep -vE '^(nvidia-|cuda-|triton)' | sed -E 's/\+[a-z0-9.]+$$//'; } > _build/constraints.txt
	@mv _build/constraints.txt constraints.txt && rm -rf _build/lock

clean:  ## remove the built book and all caches
	@rm -rf _build .ruff_cache .hypothesis .pytest_cache *.egg-info
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

clean-all: clean  ## remove the installed packages as well
	@rm -rf .venv

# Built from nothing each time: a page that is not read again would keep its warnings to itself.
html: $(READER)  ## build the pages from the chapters as they are, without executing any
	@rm -rf _build/html _build/.doctrees && mkdir -p _build
	$(call timed,html,.venv/bin/jupyter-book build . -W -n --keep-going -q > _build/book.log 2>&1 \
		|| { cat _build/book.log; rm -rf _build/html; false; },The book has to build without warnings)
	@for page in $$(sed -nE 's/.*(root|file): *([^ ]+).*/\2/p' _toc.yml) index; do \
		test -s _build/html/$$page.html || { echo "FAILED: _toc.yml names $$page, which was not built."; \
		echo "Is the file there? Is Jupyter Book older than 2? _build/book.log says what it did."; exit 1; }; done

.venv/created:
	@test -n "$(PYTHON)" || { echo "The book needs Python 3.11 or later, and found none."; \
		echo "Install one from python.org or your system, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than Python 3.11. Name another: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make environments."; \
		echo "On Debian and Ubuntu: sudo apt-get install python3-venv; then run make again."; exit 1; }
	@$(PYTHON) -m venv .venv && touch $@

# $(call install,FILE)
define install
@echo "Installing $(1) into .venv (the first time: some minutes and 1.4 GB or more)"
$(call timed,install,$(PIP) -r $(1),pip says why above. Without a network: connect and run make again. \
	With an old or broken .venv: make clean-all and run make again)
endef

$(READER): $(LISTS) | .venv/created
	$(call install,requirements.txt)
	@touch $@

$(DEVELOPER): requirements-dev.txt $(LISTS) | .venv/created
	$(call install,requirements-dev.txt)
	@touch $(READER) $@
