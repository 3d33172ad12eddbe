# `make help` explains the targets. Everything runs in .venv, which `setup` makes from requirements.lock.
PROFILE ?= quick
PYTHON_BIN := .venv/bin
SNAKEMAKE = $(PYTHON_BIN)/snakemake --snakefile workflow/Snakefile --cores all --quiet rules --rerun-incomplete

.DEFAULT_GOAL := help
.PHONY: help setup report test lab lint bench reference reference-check ship card gpu-pack gpu-check unlock lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## install everything into .venv, once
	@workflow/setup.sh

report: setup  ## run the study (PROFILE=quick) and build build/html/index.html
	@$(SNAKEMAKE) --config profile=$(PROFILE)
	@echo "The book is at build/html/index.html"

test: setup  ## run all tests, the notebooks among them, in two processes of one thread
	@OMP_NUM_THREADS=1 $(PYTHON_BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lab: setup  ## open the notebooks in JupyterLab
	@$(PYTHON_BIN)/jupyter lab notebooks

lint: setup  ## ruff, mypy, the layers of imports, and notebooks without outputs
	@$(PYTHON_BIN)/ruff check . && $(PYTHON_BIN)/ruff format --check .
	@$(PYTHON_BIN)/mypy
	@$(PYTHON_BIN)/lint-imports --no-logo --no-cache
	@$(PYTHON_BIN)/python -m pytest tests/test_notebooks.py -k bare

bench: setup  ## measure speed and memory (an otherwise idle machine)
	@$(PYTHON_BIN)/python -m benchmarks

reference: setup  ## measure what ships on real imagery: rate, seams, classifiers; writes results/reference (days)
	@$(SNAKEMAKE) reference --config profile=reference

reference-check: setup  ## code 24 images of the reference study anew and compare with the tracked table (minutes)
	@$(PYTHON_BIN)/python workflow/reference_check.py

ship: setup  ## put the weights that reference-mbt2018 and reference-wavelet-scales train into the package
	@$(PYTHON_BIN)/python workflow/ship.py reference-mbt2018 reference-wavelet-scales

card: setup  ## write the figures of the reference study into the model card and the README
	@$(PYTHON_BIN)/python workflow/ship.py --card

gpu-pack: setup  ## one archive that trains PROFILE on a machine without network; into build/
	@$(PYTHON_BIN)/python workflow/gpu_pack.py $(PROFILE)

gpu-check: setup  ## what only a GPU can show: files the same as a CPU's, speed, mixed precision
	@$(PYTHON_BIN)/python -m benchmarks gpu

unlock: setup  ## let a run go on that was killed while it wrote
	@$(SNAKEMAKE) --unlock --config profile=$(PROFILE)

lock:  ## resolve pyproject.toml anew into requirements.lock
	@$(PYTHON_BIN)/python -m uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.lock

clean:  ## remove build/ (results of runs, not .venv)
	@rm -rf build .snakemake
