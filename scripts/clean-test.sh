#!/usr/bin/env bash
# Removes what interrupted tests left: each test home is a directory that names the process that
# made it and, once known, the node whose label is on everything it started. Homes of tests that
# still run are left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

remove_labelled() {
    local label=dwell.node=$1 kind ids
    ids=$(docker ps --all --quiet --filter "label=$label")
    [ -z "$ids" ] || xargs docker rm --force --volumes <<<"$ids" >/dev/null
    for kind in network volume image; do
        ids=$(docker "$kind" ls --quiet --filter "label=$label" | sort -u)
        [ -z "$ids" ] || xargs docker "$kind" rm <<<"$ids" >/dev/null || true
    done
}

# Ends the processes that were started with this home in their environment.
end_processes() {
    local proc
    for proc in /proc/[0-9]*; do
        if [ -O "$proc" ] && tr '\0' '\n' <"$proc/environ" 2>/dev/null | grep -q "^XDG_STATE_HOME=$1/"; then
            kill -9 "${proc#/proc/}" 2>/dev/null || true
        fi
    done
}

for home in /tmp/dwell-test-*; do
    if [ ! -O "$home" ] || [ ! -e "$home/owner" ]; then continue; fi
    if kill -0 "$(cat "$home/owner")" 2>/dev/null; then
        say "$home is in use"
        continue
    fi
    end_processes "$home"
    [ ! -e "$home/node" ] || remove_labelled "$(cat "$home/node")"
    rm -rf "$home"
    say "removed $home"
done
