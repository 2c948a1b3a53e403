#!/bin/sh
# Compares dwell's source tree of a git project with `git worktree add`.
# usage: benches/tree.sh [files] [rounds]; prints medians and the median of the ratios.
set -eu
files=${1:-20000}
rounds=${2:-7}
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_BUILD_TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
cargo build --quiet --release -p dwell-drivers --example tree --target "$target" \
    --manifest-path "$root/Cargo.toml"
bench=${CARGO_TARGET_DIR:-$root/target}/$target/release/examples/tree
exec "$bench" "$files" "$rounds"
