#!/usr/bin/env bash
# Removes what interrupted tests left: each test home is a directory that names the process that
# made it and, once known, the node whose label is on everything it started. Homes of tests that
# still run are left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

# Removes what carries a label from the engine.
remove_labelled() {
    local label=$1 kind ids
    ids=$(docker ps --all --quiet --filter "label=$label")
    [ -z "$ids" ] || xargs docker rm --force --volumes <<<"$ids" >/dev/null
    for kind in network volume image; do
        ids=$(docker "$kind" ls --quiet --filter "label=$label" | sort -u)
        [ -z "$ids" ] || xargs docker "$kind" rm <<<"$ids" >/dev/null || true
    done
}

# Whether the process that made this directory still runs, or the directory is not ours to remove.
in_use() {
    if [ ! -O "$1" ] || [ ! -e "$1/owner" ]; then return 0; fi
    if kill -0 "$(cat "$1/owner")" 2>/dev/null; then
        say "$1 is in use"
        return 0
    fi
    return 1
}

# Ends this user's processes in whose file (`environ`, `cmdline`) the pattern occurs.
end_processes() {
    local proc file=$1 pattern=$2
    for proc in /proc/[0-9]*; do
        if [ -O "$proc" ] && tr '\0' '\n' 2>/dev/null <"$proc/$file" | grep -q -e "$pattern"; then
            kill -9 "${proc#/proc/}" 2>/dev/null || true
        fi
    done
}

for home in /tmp/dwell-test-*; do
    if in_use "$home"; then continue; fi
    end_processes environ "^XDG_STATE_HOME=$home/"
    end_processes cmdline "$home"
    [ ! -e "$home/node" ] || remove_labelled "dwell.node=$(cat "$home/node")"
    rm -rf "$home"
    say "removed $home"
done

# Engines and hosts end with the test that started them, and their mounts and links with them; what
# stays are files and control groups.
for machine in /tmp/dwell-engine-* /tmp/dwell-hosts-*; do
    if in_use "$machine"; then continue; fi
    find /sys/fs/cgroup -depth -type d -path "*/$(basename "$machine")*" -exec rmdir {} + 2>/dev/null || true
    rm -rf "$machine"
    say "removed $machine"
done

for host in /tmp/dwell-bare-*; do
    if in_use "$host"; then continue; fi
    remove_labelled "dwell.test=$(basename "$host")"
    rm -rf "$host"
    say "removed $host"
done
