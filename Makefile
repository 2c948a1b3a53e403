# The commands that people and CI use. `make` lists them.

TARGET := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
OUT := target/$(TARGET)

# Everywhere the same flags and an explicit target, so that all commands share one cache, and on
# Linux a static binary: it also runs as the relay inside containers that hold nothing else.
ifeq ($(shell uname -s),Linux)
export RUSTFLAGS := -C target-feature=+crt-static
endif

PREFIX ?= $(HOME)/.local
CARGO_FLAGS := --workspace --locked --target $(TARGET)
TEST_IMAGES := $(addprefix dwell-test-,$(notdir $(wildcard crates/dwell-testkit/images/*)) workspace-image workspace-agents workspace-agents-more workspace-docker desktop)
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
DENY := $(shell command -v cargo-deny 2>/dev/null)

.PHONY: help setup images build demo demo-clean test check audit bench install clean-test

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

setup: ## install what is missing: Docker with compose 2.x, rsync, tmux, git; start the engine
	@command -v cargo >/dev/null || { echo "error: Rust is not installed: see https://rustup.rs" >&2; exit 1; }
	@scripts/setup.sh

images: setup
	@scripts/with-docker.sh scripts/images.sh

build: setup ## the static release binary
	cargo build --release --locked --target $(TARGET) -p dwell

demo: images build ## build, run two copies of examples/shop side by side, and show it
	@scripts/with-docker.sh scripts/demo.sh $(OUT)/release/dwell

demo-clean: ## remove what the demo made
	@scripts/with-docker.sh scripts/demo.sh --clean $(OUT)/release/dwell

test: images ## all tests, against a real Docker engine
	@scripts/test-tools.sh
	@scripts/with-docker.sh scripts/images.sh $(TEST_IMAGES)
ifneq ($(NEXTEST),)
	scripts/with-docker.sh cargo nextest run $(CARGO_FLAGS) $(if $(CI),--profile ci)
else
	scripts/with-docker.sh cargo test $(CARGO_FLAGS) --lib --bins --tests
endif

check: setup ## format, lints, dependency policy, layout
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
ifneq ($(DENY),)
	cargo deny --workspace check bans licenses sources
endif
	cargo test $(CARGO_FLAGS) --test tidy

audit: ## known vulnerabilities in dependencies (takes cargo-deny and a connection)
	cargo deny --workspace check advisories

bench: images build ## compare with plain Docker, compose and git; the report goes to target/bench/report.md
	@scripts/with-docker.sh scripts/bench.sh $(OUT)/release/dwell

install: build ## copy the binary to PREFIX/bin (default ~/.local/bin)
	mkdir -p $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(OUT)/release/dwell $(DESTDIR)$(PREFIX)/bin/dwell
	@echo "installed $(DESTDIR)$(PREFIX)/bin/dwell"

clean-test: ## remove what interrupted tests left behind
	@scripts/with-docker.sh scripts/clean-test.sh
