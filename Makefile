# Each command installs by itself what it lacks (scripts/ensure.sh); Swift 6.3 is the one prerequisite.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# Debian's own Python, so that the packages that scripts/ensure.sh installs are the ones that are read.
PYTHON ?= /usr/bin/python3
BUILD  := swift build -c release
BIN    := .build/release
# Seconds for each fuzz target, and the seed of one simulated run (empty: the whole swarm).
T    ?= 60
SEED ?=
# How long and how hard a campaign is.
MINUTES ?= 30
RATE    ?= 200
N       ?= 10000
CALLS   ?= 10000
PHONES  ?= 100000
MEDIA   ?= 0

.PHONY: help run demo test unit interop limits bench lint format sim fuzz soak edits order avalanche anchored restarts attack tsan asan planted speech-quality core-test build deb sbom clean

help: ## List what can be made
	@printf 'Demarc: one program that is a SIP trunk.\n\n'
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## A phone calls a carrier and a carrier calls a phone, with speech, and what came of it
	@scripts/ensure.sh demo
	@$(BUILD) --product demarc
	@$(PYTHON) scripts/demo.py --demarc $(BIN)/demarc

run: ## Start Demarc with an example trunk on loopback; Ctrl-C drains
	@scripts/ensure.sh build
	@$(BUILD) --product demarc
	@scripts/run.sh $(BIN)/demarc

test: unit interop ## Every test: units, simulation, and real peers over real sockets

unit: ## Unit tests and the simulation
	@scripts/ensure.sh test
	@$(BUILD) --build-tests
	@scripts/unit.sh

interop: ## SIPp, baresip, linphone and sipsak against Demarc (ONLY=name for one)
	@scripts/ensure.sh test
	@$(BUILD) --product demarc
	@$(PYTHON) Tests/Interop/run.py --demarc $(BIN)/demarc $(if $(ONLY),--only $(ONLY))

core-test: ## The quick loop: protocol, engine and simulator alone, in debug (FILTER=name)
	@scripts/ensure.sh build
	@DEMARC_CORE=1 swift test --scratch-path .build-core $(if $(FILTER),--filter $(FILTER))

limits: ## Allocations and instructions of a call against bench/limits
	@scripts/ensure.sh limits
	@$(BUILD) --product demarc-bench
	@scripts/bench_limits.sh

bench: ## Measure, and write bench/results/latest.json beside a readable table
	@scripts/ensure.sh bench
	@$(BUILD)
	@scripts/bench.sh

sim: ## One simulated swarm: SEED=number replays a run, no seed takes a new one
	@scripts/ensure.sh build
	@scripts/sim.sh "$(SEED)"

fuzz: ## Fuzz every parser and the shard's receive, T seconds each (T=60)
	@scripts/ensure.sh fuzz
	@scripts/fuzz.sh "$(T)"

soak: ## Calls for MINUTES=30 at RATE=200 a second, MEDIA=0 at a time with speech: nothing grows or is lost
	@scripts/ensure.sh bench
	@$(BUILD) --product demarc
	@$(PYTHON) scripts/soak.py --demarc $(BIN)/demarc --minutes $(MINUTES) --rate $(RATE) --media $(MEDIA)

edits: ## N=10000 random edits of the resources while calls run; SEED=number repeats a run
	@scripts/ensure.sh bench
	@$(BUILD) --product demarc
	@$(PYTHON) scripts/edits.py --demarc $(BIN)/demarc --edits $(N) $(if $(SEED),--seed $(SEED))

order: ## 180 and 200 sent back to back leave in that order, N=10000 times
	@scripts/ensure.sh bench
	@$(BUILD) --product demarc
	@$(PYTHON) scripts/order.py --demarc $(BIN)/demarc --calls $(N) --rate $(RATE)

avalanche: ## PHONES=100000 register, Demarc dies, and all of them come back at once
	@scripts/ensure.sh bench
	@$(BUILD) --product demarc
	@$(PYTHON) scripts/avalanche.py --demarc $(BIN)/demarc --phones $(PHONES)

anchored: ## CALLS=10000 anchored calls at once, or as many as the machine has descriptors for
	@scripts/ensure.sh bench
	@$(BUILD) --product demarc
	@$(PYTHON) scripts/anchored.py --demarc $(BIN)/demarc --calls $(CALLS)

restarts: ## CALLS=10000 calls, a kill -9, and how long until they can be ended; then the same where none can go on
	@scripts/ensure.sh bench
	@$(BUILD) --product demarc
	@$(PYTHON) scripts/restart.py --demarc $(BIN)/demarc --calls $(CALLS)
	@$(PYTHON) scripts/restart.py --demarc $(BIN)/demarc --calls $(CALLS) --released --results run/campaigns/restart-released.json

attack: ## Every published attack that there is a replay of, as a table
	@scripts/ensure.sh test
	@$(BUILD) --product demarc
	@$(PYTHON) scripts/attack.py --demarc $(BIN)/demarc

speech-quality: ## What conversions leave of speech, rated by PESQ (fetches it from PyPI, and voices from Debian)
	@scripts/ensure.sh quality
	@$(BUILD) --product demarc-bench
	@$(PYTHON) scripts/speech_quality.py --bench $(BIN)/demarc-bench

tsan: ## Real peers against a build under ThreadSanitizer (ONLY=name for some)
	@scripts/ensure.sh test
	@PYTHON=$(PYTHON) scripts/tsan.sh $(ONLY)

asan: ## The core's unit tests and simulation under AddressSanitizer (ONLY=name for some)
	@scripts/ensure.sh build
	@scripts/asan.sh $(ONLY)

planted: ## Known bugs, planted one at a time: do the fuzzers and the simulator notice (ONLY=name for some)
	@scripts/ensure.sh fuzz
	@$(PYTHON) scripts/planted.py $(if $(ONLY),--only $(ONLY))

lint: ## Check the code's format and the scripts' syntax
	@scripts/ensure.sh lint
	@swift format lint --strict --recursive --parallel Package.swift Sources Tests
	@for script in scripts/*.sh .ci/run; do bash -n "$$script"; done
	@$(PYTHON) scripts/check_python.py scripts Tests/Interop
	@for patch in Tests/PlantedBugs/*/*.patch; do git apply --check "$$patch" || \
	  { echo "lint: $$patch fits the sources no more: make it anew" >&2; exit 1; }; done

format: ## Format the code in place
	@swift format --in-place --recursive --parallel Package.swift Sources Tests

build: ## Build the program alone
	@scripts/ensure.sh build
	@$(BUILD) --product demarc

deb: ## A Debian package with the service, in run/
	@scripts/ensure.sh deb
	@$(BUILD) --product demarc
	@scripts/deb.sh run

sbom: ## What the program is made of, as CycloneDX, in run/sbom.cdx.json
	@scripts/ensure.sh build
	@$(BUILD) --product demarc
	@mkdir -p run
	@$(PYTHON) scripts/sbom.py --program $(BIN)/demarc >run/sbom.cdx.json
	@echo run/sbom.cdx.json

clean: ## Remove what was built and what was run
	rm -rf .build .build-core .build-fuzz .build-tsan run
