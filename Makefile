# Two commands on a machine with Python >= 3.11 and make:  make demo   and   make test

PYTHON ?= python3
BIN := .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
# RUN: what archsat needs to run. READY: with the tools of `make test` beside it.
RUN := .venv/run
READY := .venv/ready

.PHONY: help demo test check unit bench mutants bands docs wheel clean
help:
	@echo "make demo   solve problems/dense-8b-b200.yaml and print the report"
	@echo "make test   lint, types and the test suite"
	@echo "make bench  the figures of the README, measured here (minutes)"
	@echo "make mutants  how many small changes of the source the tests see (an hour; MUTANTS='blocks --sample 50')"
	@echo "make bands  refit constants without each source, model and chip: what answers show as ends (minutes)"
	@echo "make docs   regenerate the generated pages of docs/"
	@echo "make wheel  build a wheel, install it into an empty environment, solve with it"

$(RUN): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("archsat needs Python 3.11 or newer; set PYTHON=..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(RUN)

$(READY): $(RUN) requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $(READY)

demo: $(RUN)
	$(BIN)/archsat solve problems/dense-8b-b200.yaml

test: check unit

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/python -m pytest -n 2

bench: $(READY)
	$(BIN)/python benchmarks/figures.py

mutants: $(READY)
	nice $(BIN)/python benchmarks/mutants $(MUTANTS)

bands: $(READY)
	$(BIN)/python benchmarks/left_out

docs: $(READY)
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/accuracy.py

wheel: $(READY)
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/empty
	build/wheel/empty/bin/python -m pip install --quiet --disable-pip-version-check build/wheel/*.whl
	cd / && "$(CURDIR)/build/wheel/empty/bin/archsat" solve dense-8b-b200 --quiet
	cd / && "$(CURDIR)/build/wheel/empty/bin/archsat" sweep dense-1b-b200 --over workload.batch=8,16 --quiet \
		--plot "$(CURDIR)/build/wheel/picture.pdf"
	cd / && "$(CURDIR)/build/wheel/empty/bin/archsat" sweep dense-1b-b200 --over workload.batch=8,16 --quiet \
		--plot "$(CURDIR)/build/wheel/picture.html"

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
