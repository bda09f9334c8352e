# Every target sets up what it needs: a virtual environment with the pinned requirements.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo_muril,demo_xlmr,demo_rembert

.DEFAULT_GOAL := help
BENCHMARKS := startup prepare scale feeding padding decode train infer ensemble_budget ensemble_memory
GPU_BENCHMARKS := train_gpu infer_gpu
.PHONY: help setup demo app test check audit mutants study bench bench-gpu clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is not: make setup PYTHON=python3.11"; exit 1; }
	@echo "making $(VENV): this downloads gigabytes of libraries and takes some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.txt
	$(BIN)/pip install --quiet --no-deps -e .
	@touch $@

setup: $(READY) ## Make the virtual environment

demo: $(READY) ## Train three tiny backbones on two folds, ensemble them, write a submission
	@echo "three backbones on two folds each, then their ensemble: a few minutes on two CPU cores"
	@began=$$(date +%s) \
		&& $(BIN)/python scripts/train.py -m experiment=$(DEMO) fold=0,1 \
		&& $(BIN)/python scripts/ensemble.py ensemble=demo \
		&& echo "the demo took $$(( ($$(date +%s) - began) / 60 )) minutes $$(( ($$(date +%s) - began) % 60 )) seconds"

app: $(READY) ## Ask the finished runs on a page in the browser: http://127.0.0.1:7860
	$(BIN)/python scripts/app.py

test: $(READY) ## Run the tests (with CHAII_DATA set, on real corpora too)
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

check: $(READY) ## Lint, check the format and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(READY) ## Look for known weaknesses of the libraries (at pypi.org) and of the code
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml src scripts
	@echo "asking pypi.org about each library; 'could not be audited' means that it did not answer"
	@$(BIN)/pip freeze --exclude-editable | sed 's/+.*//' > $(VENV)/audited.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r $(VENV)/audited.txt

mutants: $(READY) ## Put faults into copies of the code: the tests must notice them (an hour)
	$(BIN)/python tests/mutants.py

study: $(READY) ## Run a small study on the demo: three arms, two seeds, their comparison
	$(BIN)/python scripts/ablate.py study=demo

bench: $(READY) ## Measure this project against the standard ways (CPU), into benchmarks/README.md
	@for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done
	$(BIN)/python benchmarks/table.py

bench-gpu: $(READY) ## The same on one GPU
	@for name in $(GPU_BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done
	$(BIN)/python benchmarks/table.py

clean: ## Remove the virtual environment and all that the demo made
	rm -rf $(VENV) data/demo data/tokens data/runs/demo_* data/predictions/demo_* submissions/demo* submissions/method/demo* studies/demo data/debug data/search/demo
