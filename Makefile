# Every command of this project: people and CI run the same ones. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help build run test outage lint check bench bench-instructions check-instructions microbench clients api control accuracy monitoring k8s image dist audit

IMAGE ?= tidegate:dev
# docker, or buildah: ENGINE=buildah.
ENGINE ?= docker
VERSION = $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# What is made from the same commit is the same to the byte.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the release binary, target/release/tidegate
	cargo build --locked --release

# A debug build: a release takes five minutes, and the demo is not slow enough to need one. The tests share it.
run: ## the demo: a small upstream behind the shipped limits, counters in memory (first build: one to two minutes)
	cargo run --locked -- demo

test: ## all tests (installs redis-server and promtool where they are missing)
	scripts/install-tools redis promtool
	cargo test --locked

# Not in test: in real time, on a machine that is busy otherwise, the figures say nothing, and are reported as that.
outage: ## outages of Redis under steady traffic, in real time, with figures: half an hour on an idle machine
	scripts/install-tools redis
	TIDEGATE_OUTAGE=full cargo test --locked --test outage

# Only with cargo's metadata does machete know that rustls-webpki is imported as webpki.
lint: ## formatting, clippy, docs, and the dependencies: unused ones, licences, bans and sources
	scripts/install-tools cargo-deny cargo-machete
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --test outage -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	cargo machete --with-metadata --skip-target-dir
	cargo deny --locked check licenses bans sources

check: lint test ## lint + test

# RECORD=better or RECORD=all writes the figures into benches/cost/instructions.json.
bench-instructions: build ## what a request costs in instructions and allocations, beside the best on record (six minutes)
	scripts/install-tools redis instructions
	cargo build --locked --release --example hyper_proxy
	python3 -B benches/cost/instructions.py $(if $(RECORD),--record $(RECORD))

check-instructions: ## fails where a request costs 5 % more instructions than the best on record (RECORD=all: that is meant)
	scripts/install-tools instructions
	cargo build --locked --profile count
	python3 -B benches/cost/instructions.py --check --profile count --tidegate target/count/tidegate \
		$(if $(RECORD),--record $(RECORD))

# QUICK=1 runs it with small counts, to see that it works.
bench: build ## tidegate beside nginx, HAProxy and a minimal proxy: CPU, throughput, latency, memory (a quarter of an hour, idle machine)
	scripts/install-tools redis instructions peers
	cargo build --locked --release --example hyper_proxy --example load
	python3 -B benches/cost/wall.py $(if $(QUICK),--quick)

microbench: ## the benchmarks of functions; compare ratios within one run, not times across machines
	cargo bench --locked

# Python's packages are in an environment of their own, thrown away with target/.
clients: build ## real clients through tidegate: curl, h2load, gRPC, WebSocket, floods, structured fields, with their figures (two minutes)
	scripts/install-tools clients
	target/clients/bin/python -B tests/clients/run.py target/release/tidegate

# In debug, as the tests: what is checked are responses, not times.
api: ## requests that schemathesis makes of the admin API's OpenAPI document: no 5xx, no response without a description (three minutes)
	scripts/install-tools api
	cargo build --locked
	python3 -B tests/api/run.py target/debug/tidegate target/api/bin/schemathesis

# RUNS and CHANGES set other numbers than 20 and 10,000.
control: build ## overrides, reloads and the admin port of a fleet under traffic, with figures: one Redis, Sentinel and cluster (ten minutes)
	scripts/install-tools redis
	python3 -B tests/control/run.py target/release/tidegate

accuracy: ## the limiter against an exact sliding log, traffic shape by traffic shape: in memory, and a sample in Redis
	scripts/install-tools redis
	cargo build --locked --release --example accuracy
	target/release/examples/accuracy memory 1 2 3 4
	target/release/examples/accuracy redis 1 2 3 4

monitoring: ## dashboards and alerts: their model, their scenarios, and each query in a real Prometheus (a minute)
	scripts/install-tools redis promtool alertmanager instructions
	cargo build --locked
	scripts/prometheus-rule > k8s/monitoring/prometheus-rule.yaml
	promtool check rules k8s/monitoring/rules.yaml
	promtool test rules k8s/monitoring/rules.test.yaml
	python3 -B tests/monitoring/dashboards.py --self-test
	python3 -B tests/monitoring/dashboards.py
	python3 -B tests/monitoring/live.py target/debug/tidegate

k8s: ## the manifests: schemas, the restricted profile, references between objects (half a minute)
	scripts/install-tools kubernetes
	target/kubernetes/bin/python -B tests/kubernetes/check.py

# Only images in Docker's format have a HEALTHCHECK. buildah sets all times by --timestamp; Docker reads the argument.
image: ## the container image, tagged $IMAGE, by docker or ENGINE=buildah (a quarter of an hour, then a few minutes)
	$(ENGINE) build --tag $(IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
		$(if $(filter buildah,$(notdir $(ENGINE))),--format docker --layers --timestamp $(SOURCE_DATE_EPOCH),\
		--build-arg SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH)) .

dist: ## target/packages: the static binary, the Debian package, the SBOM and checksums (ten minutes)
	scripts/install-tools dist
	scripts/dist

# Not in check: it fetches the RustSec database, and a new advisory must not fail an unrelated change.
audit: ## known vulnerabilities in the dependencies (needs the network)
	scripts/install-tools cargo-deny
	cargo deny --locked check advisories
