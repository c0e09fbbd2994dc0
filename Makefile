# Two commands: `make reproduce` (the default study, from nothing) and `make test`.
CORES ?= all
PYTHON ?= python3
VENV ?= .venv
# Another study: make reproduce STUDY=workflow/studies/smoke.yaml
STUDY ?=
# The shell puts it in, whatever is in its path. Snakemake takes all that follows --configfile for files: it comes last.
export STUDY
CONFIG = $${STUDY:+--configfile "$$STUDY"}
GROKFORGET = PYTHONPATH=workflow/src python -m grokforget
FILE = "$${STUDY:-config.yaml}"
# $$results is the study's folder of results.
KNOWN = results=$$($(GROKFORGET) folder $(FILE)) &&
# What Snakemake knows of the jobs, as a file, so that its failure is not lost in a pipe.
SUMMARY = .snakemake/summary.txt
export PATH := $(abspath $(VENV))/bin:$(PATH)
export OMP_NUM_THREADS = 1

.PHONY: reproduce hub check why verify clean-stale store empty-store times summary test test-all lint format schema \
  benchmark gpu-check faults rulegraph report tuning docs clean

reproduce: check
	snakemake --cores $(CORES) $(CONFIG)

# What models of the Hugging Face hub need beside all else.
hub: $(VENV)/.installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --requirement requirements.lock --requirement requirements-hub.lock

check: $(VENV)/.installed
	@$(GROKFORGET) check $(FILE) $(or $(PROFILE),$(wildcard profiles/*/config.yaml))

# What may run again, and why: make why, or make why TARGET=results/laptop/figures/figure2.png
why: summary
	@$(GROKFORGET) why < $(SUMMARY)

summary: $(VENV)/.installed
	@mkdir -p .snakemake && snakemake --quiet all --summary $(TARGET) $(CONFIG) > $(SUMMARY)

# Whether every result is what its job wrote; what is not is made anew by the next run.
verify: $(VENV)/.installed
	@$(KNOWN) $(GROKFORGET) verify $$results

# What lies among the results and no job of the study makes; REMOVE=yes removes it.
clean-stale: TARGET = all tuning
clean-stale: summary
	@$(GROKFORGET) clean $(if $(filter yes,$(REMOVE)),--remove) < $(SUMMARY)

# How much room what is kept takes beside the results; empty-store has the next run compute all that it makes.
store: $(VENV)/.installed
	@$(KNOWN) $(GROKFORGET) store $$results

empty-store: $(VENV)/.installed
	@$(KNOWN) $(GROKFORGET) store $$results --empty

# How many seconds the study's runs took until they grokked, by the records of their jobs.
times: $(VENV)/.installed
	@$(KNOWN) $(GROKFORGET) times $$results

# What a change needs to hear first. Of the long tests (all edits, faults and cluster profiles, run for real) LONG=sample runs
# some, others at every commit.
LONG ?= none
test: $(VENV)/.installed
	pytest -n 2 --dist loadgroup --long $(LONG)

test-all: LONG = all
test-all: test

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

# The studies' JSON schema and docs/studies.md.
schema: $(VENV)/.installed
	$(GROKFORGET) schema

benchmark: $(VENV)/.installed
	PYTHONPATH=workflow/src:tests python -m benchmarks

# All that needs a GPU, in under 8 minutes, with one report: gpu-check.md. Another Python: make gpu-check PYTHON=python3 VENV=none
gpu-check: $(filter-out none/.installed,$(VENV)/.installed)
	PYTHONPATH=workflow/src:tests $(if $(filter none,$(VENV)),$(PYTHON),python) -m gpu $(if $(REHEARSE),--rehearse)

# A hundred faults at random moments: FAULTS=20 for fewer, ONLY="3 17" for some again.
FAULTS ?= 104
faults: $(VENV)/.installed
	PYTHONPATH=tests python -m faults --faults $(FAULTS) $(if $(ONLY),--only $(ONLY))

tuning: $(VENV)/.installed
	snakemake --cores $(CORES) tuning $(CONFIG)

report: $(VENV)/.installed
	@$(KNOWN) snakemake --report $$results/report.html $(CONFIG)

rulegraph: $(VENV)/.installed
	snakemake --rulegraph mermaid-js $(CONFIG)

# The figures and tables that README.md and docs/ show, from a finished study.
PAGES = claims explanations table1 published
SHOWN = figure1a figure1b figure2 claims matched explanations pareto controls alignment complexity modules batch-norm
docs: $(VENV)/.installed
	@$(KNOWN) to=docs/$${results##*/} && mkdir -p $$to && \
	  for file in $(SHOWN:%=figures/%.png) $(PAGES:%=paper/%.md); do \
	    if [ -e $$results/$$file ]; then cp $$results/$$file $$to/; fi; \
	  done

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
