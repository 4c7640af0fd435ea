# `make demo` and `make test` set themselves up; nothing else is needed but Python 3.11+ and git.
PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
# The workflow calls `python`: the environment's own comes first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo ablations test faults lint settings clean

demo: .venv/installed
	snakemake --cores $(CORES) --rerun-incomplete
	@hemexp where

# The second call prints the table of what the first one ran.
ablations: .venv/installed
	snakemake --cores $(CORES) --rerun-incomplete ablations
	snakemake --cores $(CORES) --rerun-incomplete

test: .venv/installed
	pytest -m "not faults"

faults: .venv/installed
	pytest -m faults

lint: .venv/installed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint

# After an edit of hemexp/settings/ or config/.
settings: .venv/installed
	python -m hemexp.settings.page docs/settings.md

.venv/installed: envs/requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf results/* .snakemake
	git checkout -- results
