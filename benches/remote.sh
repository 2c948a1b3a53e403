#!/usr/bin/env bash
# Environments on another node beside the same ones here, with the same binary: `up` of a created
# environment, then ten at once over one connection. The node is a set of namespaces on this machine
# with an engine of its own, and its files are in memory; the local ones are where they always are.
# usage: benches/remote.sh [rounds]    ($DWELL is the binary)
cd "$(dirname "$0")/.."
. benches/lib.sh

rounds=${1:-${BENCH_ROUNDS:-20}}
: "${DWELL:?say which binary: DWELL=path/to/dwell}"
DWELL=$(realpath "$DWELL")

trap bench_hosts_end EXIT
bench_hosts

project=$HOME/projects/lab
mkdir -p "$project"
cd "$project"
{
    echo services:
    for name in a b c; do
        printf '  %s:\n    image: busybox:latest\n    command: ["sh", "-c", "trap exit TERM; sleep 86400 & wait"]\n' "$name"
    done
} >compose.yaml
git init -q
git add .
git commit -qm first

"$DWELL" remote add one --host one --transport ssh >/dev/null

# The peer is the node's own: the same daemon and engine, asked by a command there.
pid=${one_root#/proc/}
node_dwell() {
    nsenter --target "${pid%%/*}" --net --mount --pid --uts --ipc -- env -i PATH=/usr/local/bin:/usr/bin:/bin \
        HOME=/root XDG_RUNTIME_DIR=/run/user/0 LANG=C.UTF-8 NO_COLOR=1 \
        sh -c 'cd /root/lab && exec /root/.local/share/dwell/bin/dwell "$@"' sh "$@"
}
cp -r "$project" "$one_root/root/lab"

remote_make() { "$DWELL" up red --remote one; }
remote_again() { "$DWELL" up red --remote one; }
remote_down() { "$DWELL" down red; }
remote_up() { "$DWELL" up red --remote one; }
remote_gone() { "$DWELL" destroy red --force; }
local_make() { node_dwell up blue; }
local_again() { node_dwell up blue; }
local_down() { node_dwell down blue; }
local_up() { node_dwell up blue; }
local_gone() { node_dwell destroy blue --force; }

bench_section "Three independent services on another node; the peer is \`dwell\` on that node itself"
bench_cycle "$rounds" remote local \
    "make|\`up\` of a new environment, its sources included / the same there|1.15" \
    "again|no-op \`up\` / the same there|1.15" \
    "down||" \
    "up|\`up\` after \`down\` / the same there|1.15" \
    "gone||"
printf '\nOne round trip to the node: %s.\n' "$("$DWELL" remote ping one)" >>"$BENCH_REPORT"

# Ten at once from a daemon that has no connection yet; every `ssh` that is started is counted.
"$DWELL" node stop >/dev/null
sed -i "2i echo started >>$HOME/ssh/started" "$HOME/bin/ssh"
begin=${EPOCHREALTIME/./}
jobs=()
for ((number = 1; number <= 10; number++)); do
    "$DWELL" up "e$number" --remote one >"$HOME/up$number" 2>&1 </dev/null &
    jobs+=($!)
done
good=0
for job in "${jobs[@]}"; do if wait "$job"; then good=$((good + 1)); fi; done
wall=$(((${EPOCHREALTIME/./} - begin) / 1000))
begin=${EPOCHREALTIME/./}
jobs=()
for ((number = 1; number <= 10; number++)); do
    node_dwell up "l$number" >/dev/null 2>&1 </dev/null &
    jobs+=($!)
done
wait "${jobs[@]}"
{
    printf '\nTen `up --remote` of new environments at once, with the start of the daemon here: %d of 10 succeeded in %d ms' "$good" "$wall"
    printf ' over %d ssh process(es). The same there, once, just after it: %d ms.\n' \
        "$(wc -l <"$HOME/ssh/started")" "$(((${EPOCHREALTIME/./} - begin) / 1000))"
} >>"$BENCH_REPORT"
tail -n 1 "$BENCH_REPORT" >&2
[ "$good" -eq 10 ] || { cat "$HOME"/up* >&2; exit 1; }
