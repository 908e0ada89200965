# Two commands do all the set-up: `make lab` to use it, `make test` to test it. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab test dev check lint types floors typescript format soak bench bench-learn schema docs wheel clean system
MAKEFLAGS += --no-print-directory

# What has been made leaves a stamp, so that only what changed is made again.
MADE := .venv/.made
LINK := .venv/share/jupyter/labextensions/@mlex/jupyterlab
BUILT := mlex_jupyter/labextension/package.json
PACKAGES := package.json yarn.lock $(wildcard labextension/package.json server_extension/package.json)
SOURCES := $(shell find labextension server_extension -name node_modules -prune -o -name lib -prune \
             -o -type f -not -name '*.tsbuildinfo' -print 2>/dev/null) $(wildcard tsconfig*.json .yarnrc.yml)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# Python compiles what it imports once, not in each of the many processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

# Two processes share the files of tests in their order (tests/conftest.py: the longest first); ARGS="-n0 …" is one.
SHARED := -n2 --dist loadfile --no-loadscope-reorder

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

lab: $(MADE)/link ## Open JupyterLab on the guided notebook (ARGS=--no-browser for a server only)
	@tools/setup.sh lab $(ARGS)

test: $(MADE)/link system ## Run every test (ARGS=tests/unit for some)
	@pytest $(SHARED) $(ARGS)

dev: $(MADE)/link ## Make the environment with all tools, the panel linked into it
	@echo "Ready: 'source .venv/bin/activate'; 'jlpm watch' builds the panel again at every change."

check: lint types floors typescript ## Look at the code without running it

lint: $(MADE)/env
	@ruff check --quiet . && ruff format --quiet --check . || { echo "'make format' mends what can be mended."; exit 1; }

types: $(MADE)/env
	@mypy --no-error-summary

floors: $(MADE)/env
	@lint-imports --no-cache > $(MADE)/floors.txt || { cat $(MADE)/floors.txt; exit 1; }

typescript: node_modules/.made
	@jlpm lint

format: node_modules/.made ## Lay out the code
	@ruff check --quiet --fix . ; ruff format --quiet . ; jlpm format

soak: $(MADE)/link system ## Run the large count: a thousand kills
	@pytest -m soak --timeout 0 $(ARGS)

bench: $(MADE)/link ## Measure, each figure beside its baseline
	@python -m tests.bench $(ARGS)

bench-learn: $(MADE)/link ## Measure prediction beside the best that the machine can do, and beside others
	@OMP_NUM_THREADS=1 python -m tests.bench.learn $(ARGS)

schema: node_modules/.made ## Write the OpenAPI document and the TypeScript types anew
	@python -m mlex_jupyter.server.openapi > server_extension/openapi.json
	@jlpm schema

docs: $(MADE)/env ## Write docs/reference.md anew
	@python tools/reference.py > docs/reference.md

wheel: $(BUILT) ## Build the wheel, with the panel inside, into dist/
	@rm -rf dist && pip wheel --quiet --no-deps --wheel-dir dist . && ls dist

clean: ## Remove all that was made here; your data and runs stay where they are
	@rm -rf .venv .venv-peers node_modules */node_modules */lib mlex_jupyter/labextension dist build screenshots test-results
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------- what the commands stand on

$(MADE)/venv:
	@tools/setup.sh venv
	@mkdir -p $(@D) && touch $@

$(MADE)/env: $(MADE)/venv pyproject.toml constraints.txt $(wildcard server_extension/jupyter-config/*/*.json)
	@echo "· Python packages (some minutes the first time)"
	@rm -rf $(LINK)
	@SKIP_JUPYTER_BUILDER=1 pip install -qq -c constraints.txt -e '.[lab,learn,openvino,tune,dlsia,postgres,tiff,hdf5,s3,tiled]' --group dev
	@pip install -qq -c constraints.txt --no-deps dlsia qlty
	@tools/setup.sh quiet-lab
	@touch $@

$(MADE)/node: $(MADE)/env
	@tools/setup.sh node
	@touch $@

node_modules/.made: $(PACKAGES) | $(MADE)/node
	@echo "· Node packages"
	@jlpm install > $(MADE)/node.txt || { cat $(MADE)/node.txt; exit 1; }
	@touch $@

$(BUILT): node_modules/.made $(SOURCES)
	@echo "· The panel for JupyterLab"
	@jlpm build:prod > $(MADE)/panel.txt 2>&1 || { cat $(MADE)/panel.txt; exit 1; }
	@touch $@

$(MADE)/link: $(MADE)/env $(BUILT)
	@rm -rf $(LINK) && mkdir -p $(dir $(LINK)) && ln -s $(CURDIR)/$(dir $(BUILT)) $(LINK)
	@touch $@

system:
	@tools/setup.sh system
