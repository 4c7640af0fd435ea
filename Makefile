# `make demo` and `make test` set themselves up; nothing else is needed but Python 3.11+ and git.
PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
# The workflow calls `python`: the environment's own comes first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo ablations final test quick faults lint settings docs figures clean

demo: .venv/installed
	snakemake --cores $(CORES) --rerun-incomplete
	@hemexp where

# The second call prints the table of what the first one ran.
ablations: .venv/installed
	snakemake --cores $(CORES) --rerun-incomplete ablations
	snakemake --cores $(CORES) --rerun-incomplete

# The final cohort (config/final.yaml) under released models, one folder a training seed. What stands
# is not made again; HELD_OUT=100 scores the first hundred.
HELD_OUT ?= 300
final: .venv/installed
	hemexp draw-cohort --settings config/final.yaml --per-center 170 --validation 30 \
		--first 301 --held-out $(HELD_OUT) --predict 0 --out config/final.tsv
	hemexp score-models --models $(MODELS) --samples config/final.tsv --settings config/final.yaml \
		--cores $(CORES)
	@hemexp show-scores

# Files of tests run side by side, each on one thread; what one has set up, its tests share. There is
# one process more than cores: the tests on Slurm mostly wait.
TESTERS := $(shell expr $(CORES) + 1)
PYTEST := OMP_NUM_THREADS=1 pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder

test: .venv/installed
	$(PYTEST) -m "not faults"

# What is neither slow nor needs a run of the workflow: under a minute, for while one works.
quick: .venv/installed
	$(PYTEST) -m "not (slow or wet or slurm)"

faults: .venv/installed
	pytest -m faults

lint: .venv/installed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	oxlint --deny-warnings hemexp
	snakemake --lint

# After an edit of hemexp/settings/ or config/.
settings: .venv/installed
	python -m hemexp.settings.page docs/reference/settings.md

# The site, in site/: open site/index.html. Every link and anchor has to hold. mkdocs speaks of its
# successors otherwise.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# After an edit of what the architecture page draws; needs graphviz.
figures: .venv/installed
	python docs/tools/draw.py

# pip prefers 2.13.0+cpu of this index to the registry's 2.13.0: both are what the lock pins.
CPU_TORCH := PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

.venv/installed: envs/requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
		echo "hemexp needs Python 3.11 or newer. Name one: make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; }
	@nvidia-smi > /dev/null 2>&1 || [ -n "$$PIP_EXTRA_INDEX_URL" ] || [ "$$(uname)" != Linux ] || \
		echo "No GPU is seen here, and PyTorch brings gigabytes of CUDA. If no job will use one," \
		"stop (Ctrl-C) and type: make $(MAKECMDGOALS) $(CPU_TORCH)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf results/* .snakemake
	git checkout -- results
