# logflume: the few commands. `make help` lists them; each sets up what it needs and is quick when nothing changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
PYTHON := $(VENV)/bin/python
RUST := scripts/with_rust.sh
export PYO3_PYTHON := $(abspath $(PYTHON))
PIP := $(PYTHON) -m pip --quiet --disable-pip-version-check

PYTHON_SOURCES := $(shell find src -name '*.py' -o -name '*.pyi')
WEB_SOURCES := $(shell find web -name node_modules -prune -o -type f -print)
VIEWER := src/logflume/_viewer/LICENSE-lit.txt
RUST_SOURCES := $(shell find rust -name target -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print)

##@ Every day

.PHONY: help
help: ## list these commands (default)
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.built viewer ## make .venv, build the Rust core and the viewer, install logflume into it
	@echo "logflume is set up: $(VENV)/bin/logflume --help"

$(PYTHON):
	@scripts/make_venv.sh $(VENV)

$(VENV)/.tools: pyproject.toml | $(PYTHON)
	@echo "installing the development tools …"
	@$(PIP) install 'pip>=25.1'
	@$(PIP) install --group build
	@scripts/pip_install.sh $(VENV) --group dev
	@touch $@

$(VENV)/.built: pyproject.toml $(RUST_SOURCES) $(VENV)/.tools
	@echo "building the Rust core (about a minute, once) …"
	@PIP_QUIET=1 $(RUST) $(VENV)/bin/maturin develop --quiet --release >$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	@touch $@

.PHONY: viewer
viewer: ## build the viewer's page (needs Node.js 20 or newer; without, the API is served all the same)
	@if command -v npm >/dev/null; then $(MAKE) --quiet $(VIEWER); \
	else echo "there is no Node.js: the viewer's page is not built; all else works" >&2; fi

web/node_modules/.installed: web/package.json web/package-lock.json web/.npmrc
	@echo "installing what the viewer is built with …"
	@cd web && npm ci --silent
	@touch $@

$(VIEWER): $(filter-out web/test/%,$(WEB_SOURCES)) web/node_modules/.installed
	@echo "building the viewer …"
	@cd web && npm run --silent build

.PHONY: test
test: $(VENV)/.built viewer packages airflows ## pass every test: lint, the core's, pytest (TESTS="tests/unit -k cursor": some of pytest)
	@scripts/check.sh all $(TESTS)

.PHONY: packages
packages: ## install what tests need from Debian (as root; else say what is missing)
	@scripts/install_packages.sh scripts/debian_packages.txt

.PHONY: airflow airflows
airflow: .venv-airflow/.logflume ## Apache Airflow in an environment of its own, with logflume in it (tests and benchmarks use it)
airflows: airflow .venv-airflow-3.2/.logflume .venv-airflow-3.1/.logflume ## that, and each older one that is supported

.venv-airflow/.tools: tests/data/airflow/constraints.txt tests/data/airflow/providers.txt scripts/install_airflow.sh | $(VENV)/.tools
	@scripts/install_airflow.sh .venv-airflow $<
	@touch $@

# An older release of the Kubernetes provider, for tests of what its executor leaves behind.
.venv-airflow/provider-10.13: .venv-airflow/.tools
	@$(<D)/bin/python -m pip --quiet --disable-pip-version-check install --upgrade --no-deps --target $@ apache-airflow-providers-cncf-kubernetes==10.13.0
	@touch $@

.venv-airflow/.logflume: .venv-airflow/provider-10.13

.venv-airflow-%/.tools: tests/data/airflow/constraints-%.txt scripts/install_airflow.sh | $(VENV)/.tools
	@scripts/install_airflow.sh .venv-airflow-$* $<
	@touch $@

build/wheel/.made: $(VENV)/.built pyproject.toml $(PYTHON_SOURCES) | viewer
	@scripts/make_wheel.sh $(@D)
	@touch $@

.PRECIOUS: .venv-airflow-%/.tools

.venv-airflow/.logflume .venv-airflow-3.1/.logflume .venv-airflow-3.2/.logflume: %/.logflume: %/.tools build/wheel/.made
	@scripts/install_here.sh $* build/wheel
	@touch $@

.PHONY: test-kubernetes
test-kubernetes: $(VENV)/.built build/kubernetes/kubernetes ## pods' logs from a real kube-apiserver (which is built first, once: see docs/decisions/0061)
	@LOGFLUME_KUBERNETES=$(abspath build/kubernetes/kubernetes) $(PYTHON) -m pytest tests/kubernetes

build/kubernetes/kubernetes: scripts/build_kubernetes.sh $(wildcard tests/kubernetes/go/*)
	@scripts/build_kubernetes.sh build/kubernetes

.PHONY: test-services
test-services: $(VENV)/.built build/collector build/azurite/.installed ## sinks against an OpenTelemetry Collector and Azure's emulator (builds and installs them: needs Go, npm)
	@LOGFLUME_SERVICES=1 $(PYTHON) -m pytest tests/services

build/collector: tests/services/main.go tests/services/go.mod tests/services/go.sum
	@command -v go >/dev/null || { echo "there is no Go, which builds the collector: https://go.dev/dl/"; exit 1; }
	@echo "building an OpenTelemetry Collector …"
	@mkdir -p build
	@cd tests/services && go build -mod=readonly -o ../../build/collector .

build/azurite/.installed: tests/services/package.json
	@echo "installing Azurite …"
	@mkdir -p $(@D)
	@cp $< $(@D)
	@cd $(@D) && npm install --silent --no-audit --no-fund
	@touch $@

.PHONY: test-airflow
test-airflow: airflows ## the handler's tests beside every Airflow that is supported: 3.1, 3.2, 3.3
	@$(PYTHON) -m pytest tests/integration/test_airflow_contract.py

.PHONY: lint
lint: $(VENV)/.built viewer ## ruff, mypy, rustfmt, clippy, Biome, tsc
	@scripts/check.sh lint

##@ The main job

.PHONY: demo
demo: $(VENV)/.built viewer ## make a log of 830 MB, merge it beside sort -m, serve it (LINES=100000: a smaller one)
	@$(PYTHON) -m scripts.demo $(if $(LINES),--lines $(LINES))

##@ Measuring

.PHONY: bench
bench: $(VENV)/.built .venv-peers/.tools ## every row of docs/benchmarks.md (BENCH="row …", SCALE=0.1, QUICK=1)
	@$(PYTHON) -m bench.run $(if $(SCALE),--scale $(SCALE)) $(if $(QUICK),--quick) $(BENCH)

.PHONY: bench-peers
bench-peers: .venv-peers/.tools ## install what logflume is measured against: ripgrep, lnav, polars, DuckDB
	@scripts/install_peers.sh

.venv-peers/.tools: bench/peers/requirements.txt
	@scripts/make_venv.sh .venv-peers
	@echo "installing polars, DuckDB and watchtower to measure against …"
	@.venv-peers/bin/python -m pip --quiet --disable-pip-version-check install -r $<
	@touch $@

.PHONY: fuzz
fuzz: $(VENV)/.built ## feed the core hostile input (FUZZ_S=60 seconds for each target)
	@FUZZ_S=$(or $(FUZZ_S),60) PYTHON=$(PYTHON) scripts/fuzz.sh

.PHONY: clean
clean: ## remove everything that was made, the virtual environments too
	rm -rf build dist rust/target rust/fuzz/target web/node_modules src/logflume/_viewer .venv .venv-airflow* .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench scripts -name __pycache__ -prune -exec rm -rf {} +
	rm -f src/logflume/_core.*.so
