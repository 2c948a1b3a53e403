#!/usr/bin/env bash
# Compares dwell's source tree of a git project with `git worktree add`. The project is made in
# $TMPDIR, so that says which file system is measured.
# usage: benches/tree.sh [rounds] [files]
cd "$(dirname "$0")/.."
. benches/lib.sh

rounds=${1:-${BENCH_ROUNDS:-20}}
files=${2:-20000}
target=${CARGO_BUILD_TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
cargo build --quiet --release --locked -p dwell-drivers --example tree --target "$target"
example=${CARGO_TARGET_DIR:-target}/$target/release/examples/tree

bench_section "Source tree on $(stat -f -c %T "${TMPDIR:-/tmp}")"
"$example" "$files" "$rounds" |
    bench_row "tree of a git project with $files files / \`git worktree add\`" 1.0 >>"$BENCH_REPORT"
tail -n 1 "$BENCH_REPORT" >&2
