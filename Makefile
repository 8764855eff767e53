# The two commands: `make run` and `make test`. What they install is in scripts/setup.

CARGO ?= cargo
SCXR = target/release/scxr

.PHONY: run test lint bench fuzz loaders objects soak setup clean

# Sets up what is missing, builds, and shows EEVDF beside simple on a simulated machine.
run:
	@scripts/setup run
	$(CARGO) build --release --locked -p scxr
	$(SCXR) compare eevdf simple --machine 8 --workload mixed --duration 2s

# Sets up what the tests need besides, then lints and runs all tests.
test:
	@scripts/setup test
	@scripts/lint
	$(CARGO) test --workspace --locked --quiet

lint:
	@scripts/setup test
	@scripts/lint

bench:
	@scripts/setup run
	$(CARGO) bench --locked -p scxr --bench simulation
	$(CARGO) bench --locked -p scxr-bpf --bench interp

# Every object through bpftool, a skeleton of libbpf's and veristat, on all four kernels: a quarter of an hour and more.
loaders:
	@scripts/setup loaders
	$(CARGO) test --locked -p scxr --test loaders -- --include-ignored --test-threads 1 --nocapture

# Random schedulers under random tasks, judged on the way: SOAK_SEEDS seeds of SOAK_EVENTS events each, an hour and more.
SOAK_SEEDS ?= 0..200
SOAK_EVENTS ?= 1000000
soak:
	@scripts/setup run
	SCXR_SOAK_SEEDS=$(SOAK_SEEDS) SCXR_SOAK_EVENTS=$(SOAK_EVENTS) \
		$(CARGO) test --locked -p scxr-kernel --test soak -- --ignored --nocapture

# The BPF halves of scx's schedulers, from their crates, on simulated machines: the tables of docs/objects.md. Ten minutes and more.
# OBJECTS: folders with more objects.
OBJECTS ?=
objects:
	@scripts/setup objects
	$(CARGO) build --release --locked -p scxr
	scripts/scx-objects target/scx
	scripts/objects-table $(SCXR) target/scx $(OBJECTS)

# Runs each fuzz target for FUZZ_SECONDS seconds.
FUZZ_SECONDS ?= 60
fuzz:
	@scripts/setup fuzz
	scripts/fuzz $(FUZZ_SECONDS)

setup:
	@scripts/setup test

clean:
	$(CARGO) clean
