# Two commands: `make reproduce` (the default study, from nothing) and `make test`.
CORES ?= all
PYTHON ?= python3
VENV ?= .venv
# Another study: make reproduce STUDY=workflow/studies/smoke.yaml
STUDY ?=
CONFIG = $(if $(STUDY),--configfile $(STUDY))
MANAGE = PYTHONPATH=workflow/src python -m grokforget.manage
export PATH := $(abspath $(VENV))/bin:$(PATH)
export OMP_NUM_THREADS = 1

.PHONY: reproduce check why verify clean-stale test lint format schema benchmark faults rulegraph report tuning docs clean

reproduce: check
	snakemake --cores $(CORES) $(CONFIG)

check: $(VENV)/.installed
	PYTHONPATH=workflow/src python -m grokforget.config.check $(or $(STUDY),config.yaml)
	@PYTHONPATH=workflow/src python -m grokforget.config.profiles $(or $(PROFILE),$(wildcard profiles/*/profile.yaml))

# What would run again, and why: make why, or make why TARGET=results/laptop/figures/figure2.png
why: $(VENV)/.installed
	@$(MANAGE) why $(or $(STUDY),config.yaml) $(TARGET)

# Whether every result is what its job wrote; what is not is made anew by the next run.
verify: $(VENV)/.installed
	@$(MANAGE) verify $(or $(STUDY),config.yaml)

# What lies among the results and no job of the study makes; REMOVE=yes removes it.
clean-stale: $(VENV)/.installed
	@$(MANAGE) clean $(or $(STUDY),config.yaml) $(if $(filter yes,$(REMOVE)),--remove)

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

# A hundred faults at random moments: FAULTS=20 for fewer, ONLY="3 17" for some again.
FAULTS ?= 104
faults: $(VENV)/.installed
	PYTHONPATH=tests python -m faults --faults $(FAULTS) $(if $(ONLY),--only $(ONLY))

tuning: $(VENV)/.installed
	snakemake --cores $(CORES) $(CONFIG) tuning

report: $(VENV)/.installed
	snakemake $(CONFIG) --report results/report.html

rulegraph: $(VENV)/.installed
	snakemake --rulegraph mermaid-js $(CONFIG)

# The figures and tables that the README shows, from a finished laptop study.
SHOWN = figure1a figure1b figure2 claims pareto controls alignment complexity modules
docs:
	mkdir -p docs/laptop
	cp $(SHOWN:%=results/laptop/figures/%.png) results/laptop/paper/table1.md results/laptop/paper/claims.md docs/laptop/

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
