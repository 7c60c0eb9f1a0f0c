# Everything a contributor runs. `make` lists it.
#
# What is built lands outside the clone, so that a second clone starts warm: CARGO_TARGET_DIR and DEDI_TOOLS
# say where.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export CARGO_TARGET_DIR ?= $(HOME)/.cache/dedi/target
export DEDI_TOOLS ?= $(HOME)/.cache/dedi/tools
export PATH := $(DEDI_TOOLS)/bin:$(PATH)
# The engine's C++ is the same in every profile: through ccache it is compiled once. Looked up for each target,
# since `tools` may only just have installed it.
export CMAKE_C_COMPILER_LAUNCHER = $(shell command -v ccache)
export CMAKE_CXX_COMPILER_LAUNCHER = $(shell command -v ccache)

SEEDS ?= 1000000
KILLS ?= 2000
EXAMPLES ?= 1000
SEED ?= 1
# The back-end of the engine that `up` and `engine` build; empty takes the one that fits this host.
GPU ?=
# Failpoints in the programs under test; without it the tests in crates/server/tests/kill are not built.
KILLABLE := --features dedi-server/failpoints
# The shim is built by itself, since it is linked otherwise than everything else.
KILLABLE_SHIM := --features dedi-shim/failpoints

.PHONY: help tools up engine engine-cuda-check test-vulkan down test lint deny build-test sdk-test schemathesis schemathesis-long sim kill-sweep template-sweep fuzz demo-model bench fmt

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

tools:
	@scripts/need build

up: tools ## Build, start the server, deploy the demo model and chat with it (DEDI_PORT=7437)
	@scripts/need curl
	@cargo build --release -p dedi-server
	@scripts/engine $(GPU)
	@scripts/build-shim --release
	@scripts/up

engine: tools ## Build the engine for this host's GPUs, or for those named (GPU=cuda|vulkan|cpu)
	@scripts/engine $(GPU)

engine-cuda-check: tools ## Compile the engine with CUDA from PyPI's wheels, without a GPU (hours on two cores)
	@scripts/need python
	@scripts/engine-cuda-check

test-vulkan: ## Build the engine with Vulkan and run it on Mesa's software driver
	@scripts/test-vulkan

down: ## Stop the server and every replica it left
	@scripts/down

test: lint deny build-test ## Format, lints, licences, all Rust tests, the SDK suites, and made-up requests
	@scripts/need nextest
	cargo nextest run --workspace $(KILLABLE)
	@$(MAKE) --no-print-directory sdk-test
	@$(MAKE) --no-print-directory schemathesis

lint: tools
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p dedi-shim -p dedi-runtime -p dedi-server --all-targets $(KILLABLE) --features dedi-shim/program -- -D warnings

deny: ## Check licences, bans and sources of dependencies; advisories when their database is reachable
	@scripts/deny

# The profile of the tests: one build serves the system tests and the SDK suites. Its programs can be told where to die.
build-test: tools
	cargo build --workspace $(KILLABLE)
	scripts/build-shim $(KILLABLE_SHIM)

sdk-test: build-test ## Run the official SDKs and command lines against a real server (SUITES="v2 v1 openai node curl snippets")
	@scripts/sdk-test

schemathesis: build-test ## Send made-up requests, valid and not, to a real server and hold the answers against /openapi.json
	@EXAMPLES=60 SEED=1 scripts/schemathesis --no-shrink

schemathesis-long: build-test ## The same for longer (EXAMPLES=1000 SEED=1)
	@EXAMPLES=$(EXAMPLES) SEED=$(SEED) scripts/schemathesis

sim: tools ## Drive the reconciler through seeded faults (SEEDS=1000000)
	cargo run --release -p dedi-sim -- --seeds $(SEEDS)

kill-sweep: tools ## Kill server, shims and engines at every step of every operation and audit what is left (KILLS=2000 SEED=1)
	cargo build -p dedi-testing --bins
	scripts/build-shim $(KILLABLE_SHIM)
	DEDI_KILLS=$(KILLS) DEDI_SEED=$(SEED) cargo test -p dedi-server --features failpoints --test kill -- --nocapture

template-sweep: tools ## Render the published chat templates, and hold every prompt against Jinja2's
	@scripts/template-sweep

fuzz: tools ## Run each fuzz target for a while (FUZZ_SECONDS=60); the tests replay what is kept in fuzz/corpus
	@scripts/fuzz

demo-model: ## Train the bundled demo model again (MINUTES=60 on all cores)
	@scripts/need python
	@scripts/demo-model

bench: tools ## Engine beside its library's bare loop, gateway beside a relay that only copies and beside none: ratios of medians
	@cargo bench -p dedi-engine
	@cargo bench -p dedi-gateway

fmt: ## Format the Rust code
	cargo fmt --all
