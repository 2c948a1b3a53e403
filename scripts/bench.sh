#!/usr/bin/env bash
# Runs benches/*.sh one after the other and gathers their tables in target/bench/report.md.
#
# usage: scripts/bench.sh path/to/dwell [name ...]    (names of files in benches/, without .sh)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

DWELL=$(realpath "${1:?usage: scripts/bench.sh path/to/dwell [name ...]}")
shift
[ -x "$DWELL" ] || die "$DWELL is not there" "run: make build"
export DWELL BENCH_REPORT=$PWD/target/bench/report.md
mkdir -p target/bench
. benches/lib.sh
bench_begin_report
failed=
for file in benches/*.sh; do
    name=$(basename "$file" .sh)
    [ "$name" != lib ] || continue
    [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
    say "$name"
    # Tables go to the report by themselves; what else a benchmark says follows as it is.
    bash "$file" >"target/bench/$name.txt" || failed="$failed $name"
    [ ! -s "target/bench/$name.txt" ] || {
        printf '\n## %s\n\n```text\n' "$name"
        cat "target/bench/$name.txt"
        printf '```\n'
    } >>"$BENCH_REPORT"
done
cat "$BENCH_REPORT"
[ -z "$failed" ] || die "these benchmarks failed:$failed"
