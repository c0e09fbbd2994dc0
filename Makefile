# Two commands: `make reproduce` (the default study, from nothing) and `make test`.
CORES ?= all
PYTHON ?= python3
VENV ?= .venv
# Another study: make reproduce STUDY=workflow/studies/smoke.yaml
STUDY ?=
CONFIG = $(if $(STUDY),--configfile $(STUDY))
export PATH := $(abspath $(VENV))/bin:$(PATH)
export OMP_NUM_THREADS = 1

.PHONY: reproduce check test lint format schema benchmark rulegraph report tuning clean

reproduce: check
	snakemake --cores $(CORES) $(CONFIG)

check: $(VENV)/.installed
	PYTHONPATH=workflow/src python -m grokforget.config.check $(or $(STUDY),config.yaml)

test: $(VENV)/.installed
	pytest -n 2 --dist loadgroup

lint: $(VENV)/.installed
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow/rules
	snakemake --lint

format: $(VENV)/.installed
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow/rules

schema: $(VENV)/.installed
	PYTHONPATH=workflow/src python -m grokforget.config.schema

benchmark: $(VENV)/.installed
	PYTHONPATH=workflow/src:tests python -m benchmarks

tuning: $(VENV)/.installed
	snakemake --cores $(CORES) $(CONFIG) tuning

report: $(VENV)/.installed
	snakemake $(CONFIG) --report results/report.html

rulegraph: $(VENV)/.installed
	snakemake --rulegraph mermaid-js $(CONFIG)

# The figures and table that the README shows, from a finished laptop study.
docs:
	mkdir -p docs/laptop
	cp results/laptop/figures/*.png results/laptop/paper/table1.md docs/laptop/

clean:
	rm -rf $(VENV) .snakemake

# A stamp inside the environment: a changed lock installs anew, an interrupted installation is repeated.
$(VENV)/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "grokforget needs Python 3.11 or newer; give one with: make PYTHON=python3.11 ..." >&2; exit 1; }
	@echo "Installing the pinned requirements into $(VENV): a minute or several."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@touch $@
