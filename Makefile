# Everything a person types. `make` alone lists it. Needs Python 3.11 or later and nothing else; uv is brought where it
# is missing. Writes to this folder only (and to uv's cache). Paths below are relative: the folder's own may have spaces.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
CONCURRENCY ?= 4
UV_RANGE := uv>=0.13,<0.14

# A uv of the user's own that is new enough, else one in a private environment here.
UV := $(shell uv --version 2>/dev/null | awk '{split($$2, v, "."); if (v[1] > 0 || v[2] >= 9) print "uv"}')
UV_NEEDED := $(if $(UV),,.uv/bin/uv)
UV := $(or $(UV),.uv/bin/uv)
GRISTMILL := .venv/bin/gristmill
STAMP := .venv/.synced

# The environment of another project must not be the one that is filled.
unexport VIRTUAL_ENV
unexport PYTHONPATH
unexport PYTHONHOME
# For the programs below, when given to make: RELOAD=1, m="...".
export RELOAD m
export UV_PROJECT_ENVIRONMENT := .venv
# Behind a proxy that opens TLS, whom the system trusts is whom uv has to trust; it knows its own list alone otherwise.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS ?= true
endif

.PHONY: help setup demo test check lint format types contracts drift docs run api worker migrate migration bench bench-queue bench-data bench-api up down \
	reset doctor clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## bring uv and the locked dependencies

demo: setup ## from nothing to results: upload, three jobs, downloads, a plot; leaves nothing running
	@$(GRISTMILL) demo

test: setup ## all tests, on real PostgreSQL and S3; ARGS="-k name" picks some
	@.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

check: lint types contracts drift docs test ## lint, format, types, import order, migrations, docs, .env.example, and all tests

lint: setup ## what ruff says of code and format
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

format: setup ## mend what ruff can mend
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

types: setup ## what mypy says
	@.venv/bin/mypy

contracts: setup ## whether the rooms import one way
	@.venv/bin/lint-imports

drift: setup ## whether the migrations lead to the models
	@$(GRISTMILL) check-migrations

docs: setup ## the documentation as a site, in docs/_build; warnings are errors
	@.venv/bin/sphinx-build --builder html --nitpicky --fail-on-warning --keep-going --quiet docs docs/_build
	@echo 'docs/_build/index.html'

run: setup ## API, a worker, PostgreSQL and S3 on this machine until Ctrl-C; RELOAD=1 follows the code
	@$(GRISTMILL) run

api: setup ## the API alone
	@$(GRISTMILL) api

worker: setup ## a worker alone; CONCURRENCY=4
	@CONCURRENCY=$(CONCURRENCY) $(GRISTMILL) worker

migrate: setup ## bring the database to the newest schema
	@$(GRISTMILL) migrate

migration: setup ## write a migration from the models: make migration m="what changes"
	@: $${m:?say what changes: make migration m=\"add a column\"}
	@$(GRISTMILL) migration --message "$$m"

bench: setup ## side-by-side measurements; ARGS="decisions" picks some
	@.venv/bin/python -m benches $(ARGS)

bench-queue: setup ## the queue beside its peers: ARGS="--only bare gristmill --rounds 1"
	@PATH="$$(dirname "$$(command -v $(UV))"):$$PATH" .venv/bin/python benches/queue $(ARGS)

bench-data: setup ## the data plane beside its peers: ARGS="jobs --rows 15000000 --only gristmill polars"
	@PATH="$$(dirname "$$(command -v $(UV))"):$$PATH" .venv/bin/python benches/data $(ARGS)

bench-api: setup ## the API beside bare servers: ARGS="reads submits --rounds 1"; needs wrk, and brings it where it may
	@command -v wrk >/dev/null || { $(call install,wrk); }
	@.venv/bin/python -m benches.api $(ARGS)

up: setup ## the whole thing in containers; writes .env with fresh secrets if there is none
	@command -v docker >/dev/null || { echo 'docker is needed for this; `make run` works without' >&2; exit 1; }
	@$(GRISTMILL) secrets
	@docker compose up --detach --build --wait

down: ## stop the containers; their data is kept
	@docker compose down

reset: setup ## wipe the data of PostgreSQL and S3 on this machine
	@$(GRISTMILL) reset

doctor: setup ## what is reachable, what is not, and how to mend it
	@$(GRISTMILL) doctor

clean: ## remove what `make setup` and the tests made here; data is kept
	@rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Repeated only when the lock or the description of the project has changed.
$(STAMP): pyproject.toml uv.lock $(UV_NEEDED)
	@own=$$($(PYTHON) -c 'import sys; print(sys.executable if sys.version_info >= (3, 11) else "")' || true); \
		$(UV) sync --locked $${own:+--python "$$own"}
	@touch $@

.uv/bin/uv:
	@echo 'bringing uv ...'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Python 3.11 or later is needed as python3 (or say PYTHON=...)' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { $(call install,python3-venv); }
	@$(PYTHON) -m venv --clear .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check '$(UV_RANGE)'

# A Debian package: installed where we may, named where we may not.
install = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes $(1) >/dev/null; \
	else echo '$(1) is missing; on Debian: apt-get install $(1)' >&2; exit 1; fi
