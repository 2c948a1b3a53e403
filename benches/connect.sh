#!/usr/bin/env bash
# The screen of `dwell connect` with 50 workspaces: from the start of the program until the last row
# that fits is drawn.
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/lib.sh

DWELL_HOME=$(mktemp -d)
export DWELL_HOME
trap 'for at in $(seq 50); do "$DWELL" -q ws destroy "w$at" --force --purge --ignore-not-found; done; "$DWELL" -q node stop; rm -rf "$DWELL_HOME"' EXIT
for at in $(seq 50); do
    "$DWELL" -q ws create "w$at" --image debian:bookworm --class cpu=1,mem=64m >/dev/null
done

frame() {
    # `script` gives it a terminal; what was drawn is read until the rows are there.
    script -qfc "stty rows 60 cols 80; exec $DWELL connect" /dev/null < <(exec sleep 9) 2>/dev/null |
        grep -qm1 'q quit'
}

bench_section "Connect"
bench_absolute "first frame, 50 workspaces" 20 100 frame
