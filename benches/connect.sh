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
    local shown=''
    coproc SCREEN { exec script -qfc "stty rows 60 cols 80; exec $DWELL connect" /dev/null 2>/dev/null; }
    exec {screen}<&"${SCREEN[0]}" {keys}>&"${SCREEN[1]}"
    # The last word of the last line.
    until [[ $shown == *' qui' ]]; do
        IFS= read -r -d t -t 9 -u "$screen" shown || return 1
    done
}

clean_frame() {
    local process=$SCREEN_PID
    printf q >&"$keys"
    cat <&"$screen" >/dev/null
    # What is measured is over; how the screen ends is for the tests of it.
    wait "$process" || true
    exec {keys}>&- {screen}<&-
}

bench_section "Connect"
bench_absolute "first frame, 50 workspaces" 20 100 frame
