# Fogbank's menu: `make` shows it. Every target sets up what it needs first (tools/bootstrap.py).

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Debian's own Python when it is new enough, else the one on PATH.
PYTHON ?= $(shell for python in /usr/bin/python3 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
ARGS ?=
NAME ?=
PROTOS ?=

.PHONY: help demo test quick check netns attack differential articles soak bench golden generate protos new-service docs pins wheel clean setup-run setup-test setup-bench

help: ## show this menu
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-run ## run an article and show that its claim holds: make demo ARTICLE=001
	@$(BIN)/fogbank demo --article $(or $(ARTICLE),000)

test: export HYPOTHESIS_PROFILE ?= ci
test: setup-test check ## every check and every test
	@$(PYTEST) -n auto --dist loadgroup $(ARGS)

quick: setup-test ## the tests that need no namespaces and take no time
	@$(PYTEST) -n auto --dist loadgroup -m "not netns and not slow" tests/unit tests/properties tests/golden tests/architecture $(ARGS)

check: setup-test ## format, lint, types
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

netns: setup-test ## the tests that make network namespaces
	@$(PYTEST) -n auto --dist loadgroup -m netns $(ARGS)

attack: setup-test ## every attack on a region, with figures
	@FOGBANK_ATTACKS=all $(PYTEST) -n0 -q -p no:randomly tests/attacks $(ARGS)

differential: setup-test ## 2,000 random regions: prediction, connectivity test and packet agree
	@FOGBANK_DIFFERENTIAL=$${FOGBANK_DIFFERENTIAL:-2000} $(PYTEST) -n0 -q -s -p no:randomly tests/dataplane/test_prediction_meets_packet.py $(ARGS)

soak: setup-test ## ten minutes of everything at once in one region; what goes wrong and what is left
	@$(BIN)/python -m tests.attacks.soak $(ARGS)

articles: setup-test ## the articles, word for word, with real clients
	@$(PYTEST) tests/articles $(ARGS)

bench: setup-bench ## the table of measurements, every row a ratio
	@$(BIN)/python -m bench $(ARGS)

golden: setup-test ## rewrite the golden files from what the code says now; read the diff
	@UPDATE_GOLDEN=1 $(PYTEST) -n0 -p no:randomly --inline-snapshot=fix tests/golden tests/unit $(ARGS)

generate: setup-test ## compile Google's discovery documents to the tables in the package
	@$(BIN)/python tools/generate_discovery.py

protos: setup-test ## compile .proto files to the tables of gRPC: make protos PROTOS="GOOGLEAPIS OPENTELEMETRY"
	@$(BIN)/python -m pip install --quiet --group protos
	@$(BIN)/python tools/generate_protos.py $(PROTOS)

new-service: setup-test ## begin an API: make new-service NAME=redis
	@$(BIN)/python tools/new_service.py "$(NAME)"

docs: setup-test ## rewrite the generated pages of docs/reference
	@$(BIN)/python tools/generate_docs.py

pins: setup-test ## renew constraints.txt from pyproject.toml
	@$(BIN)/python tools/renew_pins.py

wheel: setup-test ## build the wheel into dist/
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what can be made again
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup-run setup-test setup-bench: setup-%:
	@test -n "$(PYTHON)" || { echo "Fogbank needs Python 3.11 or newer: apt-get install python3" >&2; exit 1; }
	@$(PYTHON) tools/bootstrap.py $*
