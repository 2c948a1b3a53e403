#!/usr/bin/env bash
# Streams to a service on another node, through the daemons on both sides as users have them: beside
# `ssh -L` to the same sshd with the same cipher, over a mesh beside a plain TCP relay, and what
# thousands of them cost. The node is a set of namespaces on this machine.
# usage: benches/dial.sh [rounds] [mebibytes] [connections]    ($DWELL is the binary)
cd "$(dirname "$0")/.."
. benches/lib.sh

rounds=${1:-${BENCH_ROUNDS:-20}}
bytes=$((${2:-512} * 1048576))
connections=${3:-10000}
: "${DWELL:?say which binary: DWELL=path/to/dwell}"
DWELL=$(realpath "$DWELL")
cipher=aes128-gcm@openssh.com
mux=$(bench_example dwell-net mux_bench --release)

started=()
finish() {
    [ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null || true
    bench_hosts_end
}
trap finish EXIT
bench_hosts
echo "    Ciphers $cipher" >>"$HOME/ssh/config"

project=$HOME/projects/dial
mkdir -p "$project"
cd "$project"
cp "$mux" mux_bench
cat >compose.yaml <<'YAML'
services:
  far:
    image: busybox:latest
    init: true
    volumes: [".:/bench:ro"]
    command:
      - sh
      - -c
      - |
        cd /bench
        ./mux_bench sink 0.0.0.0:7001 &
        ./mux_bench source 0.0.0.0:7002 &
        exec ./mux_bench echo 0.0.0.0:7003
    expose: ["7001", "7002", "7003"]
YAML
git init -q
git add .
git commit -qm first

# Waits until something echoes at an address.
answers() {
    local try
    for ((try = 0; try < 100; try++)); do
        if "$mux" rtt "$1" 20 >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "error: nothing answers at $1" >&2
    exit 1
}

# Brings the servers up on a node. `address` is then where this machine finds them, `container`
# where they are on the node.
serve() {
    "$DWELL" up "$1" --remote "$1" >"$BENCH_LOG" 2>&1 || { cat "$BENCH_LOG" >&2; exit 1; }
    address=$("$DWELL" status "$1" --json | sed -n 's/.*"addresses":\["\([0-9.]*\)".*/\1/p')
    container=$(ssh "$1" docker ps --quiet | ssh "$1" xargs docker inspect --format \
        "'{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'")
    answers "$address:7003"
}

send() { "$mux" send "$1" "$bytes" | awk '{ printf "%.0f\n", $1 * 1e6 }'; }
receive() { "$mux" receive "$1" "$bytes" | awk '{ printf "%.0f\n", $1 * 1e6 }'; }
# What a round trip takes longer than one straight to the container, in microseconds.
added() { "$mux" added "$1" "$container:7003" 3000; }

"$DWELL" remote add one --host one --transport ssh >/dev/null
serve one
# Resident memory in KiB of the daemon here and of the one on the node. Before anything else is carried:
# memory that bulk transfers left behind would be used again, and the growth would not show.
resident() { awk '/^VmRSS/ { print $2 }' "$1/proc/$2/status"; }
pid() { sed -n 's/.*"pid":\([0-9]*\).*/\1/p'; }
here=$("$DWELL" node status --json | pid)
there=$(ssh one .local/share/dwell/bin/dwell node status --json | pid)
before=("$(resident "" "$here")" "$(resident "$one_root" "$there")")
mkfifo "$HOME/hold"
exec 9<>"$HOME/hold"
"$mux" idle "$address:7003" "$connections" <&9 >"$HOME/held" &
idle=$!
until [ -s "$HOME/held" ]; do
    kill -0 "$idle" || exit 1
    sleep 0.1
done
after=("$(resident "" "$here")" "$(resident "$one_root" "$there")")
kill "$idle"
awk -v n="$connections" -v a="$((after[0] - before[0]))" -v b="$((after[1] - before[1]))" '
    function row(where, grown) {
        printf "%s daemon grew by %.1f KiB for each (goal 20: %s)", where, grown / n, grown / n <= 20 ? "yes" : "no"
    }
    BEGIN { printf "\n%d idle connections: the local ", n; row("", a); printf ", the remote "; row("", b); print "." }
' | sed 's/  */ /g' >>"$BENCH_REPORT"
tail -n 1 "$BENCH_REPORT" >&2

# Gone with the host.
ip route replace "$container/32" via "$one_address"
ssh one iptables -w 30 -I DOCKER-USER -j ACCEPT
answers "$container:7003"
forwards=()
for port in 7001 7002 7003; do forwards+=(-L "127.0.0.1:2$port:$container:$port"); done
ssh -N -o ExitOnForwardFailure=yes "${forwards[@]}" one &
tunnel=$!
started+=("$tunnel")
answers 127.0.0.1:27003

size() { echo "$((bytes / 1048576)) MiB"; }
dwell_send() { send "$address:7001"; }
dwell_receive() { receive "$address:7002"; }
dwell_trip() { added "$address:7003"; }
ssh_send() { send 127.0.0.1:27001; }
ssh_receive() { receive 127.0.0.1:27002; }
ssh_trip() { added 127.0.0.1:27003; }
relay_send() { send "$direct:17001"; }
relay_receive() { receive "$direct:17002"; }

bench_section "Streams over ssh, $cipher"
bench_clock=bench_told bench_compare "$(size) to a remote service / \`ssh -L\`" "$rounds" 1.0 dwell_send ssh_send
bench_clock=bench_told bench_compare "$(size) from a remote service / \`ssh -L\`" "$rounds" 1.0 dwell_receive ssh_receive
bench_clock=bench_told bench_compare "what a round trip takes longer than directly / \`ssh -L\`" "$rounds" 1.0 dwell_trip ssh_trip
kill "$tunnel"

# Over a mesh: first nothing but the network of the hosts, then WireGuard, where it is installed.
mesh() {
    local try
    direct=$2
    "$DWELL" remote add two --host two --transport mesh --mesh-ip "$direct" >/dev/null
    for ((try = 0; try < 50; try++)); do
        if "$DWELL" remote ping two | grep -q 'over mesh'; then break; fi
        sleep 0.2
    done
    serve two
    for port in 7001 7002 7003; do
        # It listens on the node; only its file is here.
        nsenter --net="${two_root%/root*}/ns/net" "$mux" relay "$direct:1$port" "$container:$port" &
        started+=($!)
    done
    answers "$direct:17003"
    "$DWELL" remote ping two | grep -q 'over mesh' || { echo "error: the mesh does not carry" >&2; exit 1; }
    bench_section "Streams over a mesh, $1"
    bench_clock=bench_told bench_compare "$(size) to a remote service / a TCP relay there" "$rounds" 1.11 dwell_send relay_send
    bench_clock=bench_told bench_compare "$(size) from a remote service / a TCP relay there" "$rounds" 1.11 dwell_receive relay_receive
}
mesh "nothing but the hosts' network" "$two_address"
# That is slow.
bytes=$((bytes / 8))
[ -z "$two_mesh" ] || mesh "WireGuard in userspace" "$two_mesh"
