#!/usr/bin/env bash
# Environments beside plain compose: `up`, no-op `up`, `exec`, `down` and `destroy` against
# `docker compose` with the same isolated model, commands with 200 environments, ten cold `run` at
# once. Everything happens in a home of its own with ports of its own, and is removed at the end.
# usage: benches/environment.sh [rounds] [environments]    ($DWELL is the binary)
cd "$(dirname "$0")/.."
. benches/lib.sh

rounds=${1:-${BENCH_ROUNDS:-20}}
many=${2:-200}
: "${DWELL:?say which binary: DWELL=path/to/dwell}"
DWELL=$(realpath "$DWELL")

work=$(mktemp -d /tmp/dwell-bench-XXXXXX)
export DWELL_HOME=$work/home
mkdir -p "$DWELL_HOME/config" "$work/independent" "$work/chain" "$work/tiny"
unset DWELL_PROJECT DWELL_ENV DWELL_OUTPUT
# A daemon of a user beside this one keeps its ports and its addresses.
cat >"$DWELL_HOME/config/config.toml" <<'END'
[dns]
port = 25354
[proxy]
port = 27080
[network]
pool = "10.213.0.0/16"
END

finish() {
    "$DWELL" destroy --all --force >/dev/null 2>&1 || true
    if [ -f "$work/peer.json" ]; then docker compose -f "$work/peer.json" down -v -t 0 >/dev/null 2>&1 || true; fi
    "$DWELL" node stop >/dev/null 2>&1 || true
    tmux -S "$DWELL_HOME/run/tmux.sock" kill-server 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# A service that ends at once when it is told to, so that no grace period is measured.
service() {
    printf '  %s:\n    image: busybox:latest\n    command: ["sh", "-c", "trap exit TERM; sleep 86400 & wait"]\n' "$1"
    [ $# -eq 1 ] || printf '    depends_on: [%s]\n' "$2"
}
{ echo services:; service a; service b; service c; echo 'volumes: {data: {}}'; } >"$work/independent/compose.yaml"
{ echo services:; service a; service b a; service c b; } >"$work/chain/compose.yaml"
{ echo services:; service a; } >"$work/tiny/compose.yaml"

# The peer is compose itself with the model that dwell made for the environment `$name`: other
# identities and addresses, and no label that the daemon knows.
peer_of() {
    local file id
    "$DWELL" up "$name" --project "$project" >/dev/null 2>&1
    id=$("$DWELL" status "$name" --project "$project" --json | sed -n 's/^{"id":"\([^"]*\)".*/\1/p')
    file=$DWELL_HOME/state/environments/$id/compose.json
    sed -e "s/$id/peer$id/g" -e 's/"dwell\./"bench./g' -e 's/10\.213\./10.214./g' "$file" >"$work/peer.json"
    "$DWELL" down "$name" --project "$project" >/dev/null 2>&1
}

peer() { docker compose -f "$work/peer.json" "$@"; }
peer_up() { peer up -d; }
peer_again() { peer up -d; }
peer_exec() { peer exec -T a true; }
peer_down() { peer down; }
peer_gone() { peer down -v; }
dwell_up() { "$DWELL" up "$name" --project "$project"; }
dwell_again() { "$DWELL" up "$name" --project "$project"; }
dwell_exec() { "$DWELL" exec --project "$project" "$name" a true; }
dwell_down() { "$DWELL" down "$name" --project "$project"; }
dwell_gone() { "$DWELL" destroy "$name" --project "$project" --force; }
# Making the copy is no part of what is compared; reading the project ahead is a part of making it.
dwell_make() { "$DWELL" create "$name" --project "$project" --from "$work/independent" && "$DWELL" up "$name" --project "$project"; }
peer_make() { peer up -d; }

"$DWELL" node start >/dev/null

name=a1
for project in independent chain; do
    shape="three independent services"
    [ "$project" = independent ] || shape="three services, each depending on the one before"
    bench_section "Environments: $shape"
    "$DWELL" create "$name" --project "$project" --from "$work/$project" >/dev/null 2>&1
    peer_of
    bench_cycle "$rounds" dwell peer \
        "up|\`up\` of a created environment / \`docker compose up -d\`|1.05" \
        "again|no-op \`up\` / no-op \`docker compose up -d\`|0.25" \
        "exec|\`exec a1 a true\` / \`docker compose exec -T a true\`|0.4" \
        "down|\`down\` / \`docker compose down\`|0.7"
    dwell_gone >/dev/null 2>&1
done

bench_section "Destroying"
project=independent
"$DWELL" create "$name" --project "$project" --from "$work/independent" >/dev/null 2>&1
peer_of
dwell_gone >/dev/null 2>&1
bench_cycle "$rounds" dwell peer "make||" \
    "gone|\`destroy --force\` with its tree / \`docker compose down -v\`|0.7"

bench_section "Commands"
version() { "$DWELL" --version; }
help() { "$DWELL" --help; }
bench_absolute "\`--version\`" "$rounds" 3 version 5
bench_absolute "\`--help\`" "$rounds" 3 help 5

# $many environments of one small service each, all running.
say() { printf '==> %s\n' "$*" >&2; }
say "bringing up $many environments"
ups=()
for ((number = 1; number <= many; number++)); do
    "$DWELL" create "e$number" --project tiny --from "$work/tiny" >/dev/null 2>&1
    begin=${EPOCHREALTIME/./}
    "$DWELL" up "e$number" --project tiny >/dev/null 2>&1 || { echo "error: environment $number did not come up" >&2; exit 1; }
    ups+=($((${EPOCHREALTIME/./} - begin)))
done
running=$("$DWELL" ls --all --json | grep -o '"status":"running"' | wc -l)
list() { "$DWELL" ls --all; }
bench_absolute "\`ls\` with $many environments, $running running" "$rounds" 10 list 5
{
    printf '%s\n' "${ups[@]}" | awk -v n="$many" '
        { v[NR] = $1 }
        function median(from, to,    i, j, t, c, k) {
            for (i = from; i <= to; i++) c[++k] = v[i]
            for (i = 2; i <= k; i++) for (j = i; j > 1 && c[j - 1] > c[j]; j--) { t = c[j]; c[j] = c[j - 1]; c[j - 1] = t }
            return k % 2 ? c[(k + 1) / 2] : (c[k / 2] + c[k / 2 + 1]) / 2
        }
        END {
            k = n < 20 ? int(n / 2) : 10
            first = median(1, k); last = median(n - k + 1, n)
            printf "\nFirst `up` of a created environment with one service, wall time: median of the first %d %.0f ms, ", k, first / 1000
            printf "of the last %d (number %d) %.0f ms, ratio %.2f (goal 1.5: %s).\n", k, n, last / 1000, last / first, last / first <= 1.5 ? "yes" : "no"
        }'
} >>"$BENCH_REPORT"
tail -n 1 "$BENCH_REPORT" >&2

say "ten cold runs at once"
begin=${EPOCHREALTIME/./}
jobs=()
for ((number = 1; number <= 10; number++)); do
    "$DWELL" run --project cold --from "$work/tiny" echo "cold$number" done >"$work/cold$number" 2>&1 </dev/null &
    jobs+=($!)
done
good=0
for job in "${jobs[@]}"; do if wait "$job"; then good=$((good + 1)); fi; done
wall=$(((${EPOCHREALTIME/./} - begin) / 1000))
{
    echo
    echo "Ten cold \`run\` at once (each makes its copy, brings it up and runs a command in a session)" \
        "beside $many environments: $good of 10 succeeded in $wall ms."
} >>"$BENCH_REPORT"
tail -n 1 "$BENCH_REPORT" >&2
[ "$good" -eq 10 ] || { cat "$work"/cold* >&2; exit 1; }
