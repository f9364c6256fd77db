# Every target does its own set-up: Debian packages by apt, lint tools into .tools/, images into fixtures/.
# Each says what it installs, and nothing needs KVM. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.tools/bin:$(HOME)/.cargo/bin:$(PATH)
export FLASHMOOR_FIXTURES ?= $(CURDIR)/fixtures

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: packages-demo fixtures ## a guest's firmware travels between two hosts, on this machine
	cargo build -p flashmoor --bin flashmoor
	target/debug/flashmoor demo --from-code $(FLASHMOOR_FIXTURES)/bookworm/OVMF_CODE.fd --from-vars $(FLASHMOOR_FIXTURES)/bookworm/OVMF_VARS.fd \
		--to-code $(FLASHMOOR_FIXTURES)/trixie/OVMF_CODE_4M.fd --to-vars $(FLASHMOOR_FIXTURES)/trixie/OVMF_VARS_4M.fd

.PHONY: fleet-demo
fleet-demo: packages-fleet fixtures ## a fleet of three hosts, on this machine; ENGINE=etcd for etcd and a registry; as root
	cargo build -p flashmoor --bin flashmoor
	scripts/fleet-demo target/debug/flashmoor

.PHONY: test
test: packages-test tools fixtures build ## every test, those on real QEMU included
	cargo nextest run --workspace
	cargo test --workspace --doc

.PHONY: soak
soak: packages-test tools fixtures build ## every moment at which the kernel could end or hinder a command that writes
	FLASHMOOR_SOAK=1 cargo nextest run --profile soak -p fm_e2e -E 'binary(/^hostile_/)'
	DEVICE_KILLS=1000 cargo nextest run --profile soak -p fm_e2e -E 'binary(device_kill)'
	UPDATES=1000 cargo nextest run --profile soak -p fm_e2e -E 'binary(update_soak)'
	FLEET_KILLS=200 cargo nextest run --profile soak -p fm_e2e -E 'binary(fleet_kills)' --no-capture

SUITE ?= trixie
.PHONY: platforms
platforms: packages-platforms tools fixtures ## the core of the tests on another release's QEMU and libvirt; SUITE=trixie
	scripts/platforms $(SUITE)

# `make -k lint` goes on past the first that fails.
lints := lint-format lint-scripts lint-spelling lint-licences lint-unused lint-rust lint-fuzz lint-docs lint-house
.PHONY: lint $(lints)
lint: $(lints) ## formatting, lints, rooms, licences, spelling, unused dependencies, scripts, docs
$(lints): tools

lint-format:
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
lint-scripts:
	shellcheck -x .ci/run benches/compare $(wildcard benches/areas/*) $(shell grep -ls '^#!.*sh$$' scripts/* packaging/* packaging/*/*)
lint-spelling:
	typos
lint-licences:
	cargo deny --log-level warn check bans licenses sources
lint-unused:
	cargo shear
lint-rust:
	cargo clippy --workspace --all-targets -- -D warnings
lint-fuzz:
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir target --all-targets -- -D warnings
lint-docs:
	mdbook build
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
lint-house:
	cargo nextest run -p fm_house

.PHONY: advisories
advisories: tools ## known holes in what we are built on; needs the network, for RustSec's database
	cargo deny --log-level warn check advisories
	cargo deny --log-level warn --manifest-path fuzz/Cargo.toml check --config deny.toml advisories

AREA ?=
.PHONY: bench
bench: packages-test tools fixtures ## speed, beside what it is compared with, in one run; AREA=start picks one comparison
	cargo build --release --workspace --bins
	cargo build --release -p fm_e2e --examples
	$(if $(AREA),,cargo bench -p fm_bench)
	benches/compare $(AREA)

.PHONY: atlas
atlas: packages-test fixtures build ## record what real QEMU does with every build of the fixtures; goes on where it ended
	target/debug/flashmoor atlas run $(addprefix --qemu ,qemu-system-x86_64 qemu-system-aarch64 \
	    $(addprefix fixtures/qemu-10.0/bin/qemu-system-,x86_64 riscv64 loongarch64))
	target/debug/flashmoor atlas verify
	target/debug/flashmoor --quiet atlas claims >docs/claims.md

.PHONY: vars-matrix
vars-matrix: packages-test fixtures ## every layout of variables converted for every build of the fixtures, and booted
	cargo run -q -p fm_e2e --example vars-matrix

.PHONY: oracle
oracle: tools fixtures ## record what virt-firmware reads in every image, which the tests hold ours against
	scripts/oracle >tests/fixtures/virt-firmware.txt

# The toolchain is stable; the sanitizer's flags are not, so that one command is allowed them.
TARGET ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
SECONDS ?= 60
.PHONY: fuzz
fuzz: packages-fuzz tools fixtures ## fuzz every parser; TARGET=varstore picks one, SECONDS=600 the time each gets
	for target in $(TARGET); do \
	    cargo run -q --manifest-path fuzz/Cargo.toml --target-dir target --example seeds -- "$$target"; \
	    RUSTC_BOOTSTRAP=1 cargo fuzz run "$$target" -- -max_total_time=$(SECONDS) -rss_limit_mb=2048 -timeout=5; \
	done

.PHONY: fixtures
fixtures: packages-fixtures ## the real firmware images and a second QEMU, from Debian's archive
	@scripts/fixtures

.PHONY: fixtures-update
fixtures-update: packages-fixtures ## the same from the newest packages, and the checked-in list with them
	@scripts/fixtures --update

.PHONY: book
book: tools ## the documentation as pages, in target/book
	mdbook build

.PHONY: packages packages-try packages-twice
packages: packages-pack ## .deb, .rpm and a static tarball, from the release build, into dist/
	packaging/build
packages-try: packages-pack ## install, upgrade, remove and purge what is in dist/, each in a root that is thrown away
	packaging/try
packages-twice: packages-pack ## build the packages twice, in two places, and compare every byte
	packaging/reproducible

.PHONY: build
build: packages-build
	cargo build --workspace --bins --tests

.PHONY: tools
tools: packages-lint ## the lint and test tools, into .tools/
	@scripts/tools

.PHONY: packages-build packages-fixtures packages-demo packages-lint packages-test packages-platforms packages-fuzz packages-fleet packages-pack
packages-build packages-fixtures packages-demo packages-lint packages-test packages-platforms packages-fuzz packages-fleet packages-pack: packages-%:
	@scripts/packages $*
