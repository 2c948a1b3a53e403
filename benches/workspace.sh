#!/usr/bin/env bash
# Workspaces beside plain Docker with the same image and the same ssh server: made and first
# command, back from stop and from freeze to the first byte of the ssh server, removed; keystrokes
# through `dwell ssh` beside `ssh -tt` to the same server, both in tmux. Everything happens in a
# home of its own and is removed at the end.
# usage: benches/workspace.sh [rounds] [image]    ($DWELL is the binary)
cd "$(dirname "$0")/.."
. benches/lib.sh

rounds=${1:-${BENCH_ROUNDS:-20}}
image=${2:-dwell-workspace:latest}
: "${DWELL:?say which binary: DWELL=path/to/dwell}"
DWELL=$(realpath "$DWELL")
if ! docker image inspect "$image" >/dev/null 2>&1; then
    echo "error: there is no image $image: \`dwell image build\` makes it" >&2
    exit 1
fi

work=$(mktemp -d /tmp/dwell-bench-XXXXXX)
export DWELL_HOME=$work/home
mkdir -p "$DWELL_HOME/config"
unset DWELL_PROJECT DWELL_ENV DWELL_OUTPUT
# A daemon of a user beside this one keeps its ports and its addresses.
configure() {
    cat >"$DWELL_HOME/config/config.toml" <<END
[dns]
port = 25354
[proxy]
port = 27080
[network]
pool = "10.213.0.0/16"
[pool]
"$image" = $1
END
}
configure 0
container=dwell-bench-peer-$$
ends=()

finish() {
    [ ${#ends[@]} -eq 0 ] || kill "${ends[@]}" 2>/dev/null || true
    docker rm -f "$container" "$container-lasting" >/dev/null 2>&1 || true
    configure 0
    for name in bench warm lasting; do
        "$DWELL" ws destroy "$name" --force --purge >/dev/null 2>&1 || true
    done
    # Where no daemon answers any more, the rest is removed all the same.
    pool_of 0 || true
    "$DWELL" node stop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap finish EXIT

dwell_create() { "$DWELL" ws create bench --image "$image" && "$DWELL" ws exec bench -- true; }
peer_create() { docker run -d --name "$container" "$image" sleep 1d && docker exec "$container" true; }
# Neither side is timed while another one is being made for the pool.
pool_of() {
    local end=$((SECONDS + 30))
    until "$DWELL" ws pool --json | grep -Eq "\"ready\": *$1|\"images\": *\[\]"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}
prepare_dwell_warm() { pool_of 1; }
prepare_peer_warm() { pool_of 1; }
dwell_warm() { "$DWELL" ws create warm --image "$image" && "$DWELL" ws exec warm -- true; }
peer_warm() { peer_create; }
clean_dwell_warm() { "$DWELL" ws destroy warm --force --purge; }
clean_peer_warm() { peer_destroy; }
dwell_destroy() { "$DWELL" ws destroy bench --force; }
peer_destroy() { docker rm -f "$container"; }

# The first byte that an ssh server sends.
address_of() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }
peer_byte() {
    local address
    address=$(address_of "$container-lasting")
    local end=$((SECONDS + 20))
    # Refused until the server listens.
    until { exec 9<>"/dev/tcp/$address/22"; } 2>/dev/null; do
        [ $SECONDS -lt $end ] || return 1
    done
    head -c 1 <&9 >/dev/null
    exec 9>&-
}
dwell_byte() { "$DWELL" ssh --stdio lasting </dev/null | head -c 1 >/dev/null; }
dwell_stopped() { "$DWELL" ws stop lasting; }
peer_stopped() { docker stop -t 0 "$container-lasting"; }
dwell_frozen() { "$DWELL" ws suspend lasting; }
peer_frozen() { docker stop -t 0 "$container-lasting"; }
dwell_exec() { "$DWELL" ws exec lasting -- true; }
peer_exec() { docker exec "$container-lasting" true; }
dwell_back() { "$DWELL" ws start lasting && dwell_byte; }
peer_back() { docker start "$container-lasting" && peer_byte; }
dwell_thawed() { dwell_byte; }
peer_thawed() { docker start "$container-lasting" && peer_byte; }

"$DWELL" node start >/dev/null

bench_section "Workspaces: making and removing"
bench_cycle "$rounds" dwell peer \
    "create|\`ws create\` and a first command / \`docker run\` and \`docker exec\`|0.9" \
    "destroy|\`ws destroy\`, keeping the home / \`docker rm -f\`|1.1"

configure 1
bench_compare "\`ws create\` from the warm pool and a first command / \`docker run\` and \`docker exec\`" \
    "$rounds" 0.1 dwell_warm peer_warm
configure 0
pool_of 0

"$DWELL" ws create lasting --image "$image" >/dev/null 2>&1
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
docker create --name "$container-lasting" "$image" sh -c \
    'mkdir -p /run/sshd && ssh-keygen -A >/dev/null && exec /usr/sbin/sshd -D -f /dev/null -h /etc/ssh/ssh_host_ed25519_key' >/dev/null
docker start "$container-lasting" >/dev/null
# Keys and logins are made once, before anything is timed.
peer_byte
dwell_byte

bench_section "Workspaces: a command"
bench_compare "\`ws exec\` / \`docker exec\`" "$rounds" 0.5 dwell_exec peer_exec

bench_section "Workspaces: coming back, to the first byte of the ssh server"
bench_cycle "$rounds" dwell peer \
    "stopped||" \
    "back|\`ws start\` after stop / \`docker start\`|1.1"
bench_cycle "$rounds" dwell peer \
    "frozen||" \
    "thawed|a frozen one by dial alone / \`docker start\` of a stopped one|0.1"

# One end that types and one that reads, at a pseudo-terminal; `$1_in` and `$1_out` are its files.
open_terminal() {
    local side=$1
    mkfifo "$work/$side.in" "$work/$side.out"
    script -qfc "$2" /dev/null <"$work/$side.in" >"$work/$side.out" 2>/dev/null &
    ends+=($!)
    exec {keys}>"$work/$side.in" {screen}<"$work/$side.out"
    printf -v "${side}_in" %s "$keys"
    printf -v "${side}_out" %s "$screen"
    printf 'tmux -L bench-%s new "tmux set status off; echo rea""dy; exec cat"\n' "$side" >&"$keys"
    local seen='' char
    until [[ $seen == *ready* ]]; do
        IFS= read -r -t 20 -N 1 -u "$screen" char || { echo "error: $2 shows: $seen" >&2; exit 1; }
        seen+=$char
    done
}

# The median of 25 keystrokes, from the key to its echo on the screen.
typed() {
    local in=${1}_in out=${1}_out begin char all=()
    for _ in {1..25}; do
        begin=${EPOCHREALTIME/./}
        printf '#' >&"${!in}"
        until IFS= read -r -t 5 -N 1 -u "${!out}" char && [ "$char" = '#' ]; do :; done
        all+=($((${EPOCHREALTIME/./} - begin)))
    done
    printf '%s\n' "${all[@]}" | sort -n | sed -n 13p
}
dwell_typed() { typed dwell; }
peer_typed() { typed peer; }

docker exec -i "$container-lasting" sh -c 'install -d -o dev -m 700 /home/dev/.ssh &&
    cat >/home/dev/.ssh/authorized_keys && chown dev /home/dev/.ssh/authorized_keys' <"$work/key.pub"
quiet="-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
open_terminal dwell "$DWELL ssh lasting"
open_terminal peer "ssh -tt -i $work/key $quiet dev@$(address_of "$container-lasting")"

bench_section "Workspaces: a keystroke and its echo, in tmux"
bench_clock=bench_told bench_compare "\`dwell ssh\` / \`ssh -tt\`" "$rounds" 2 dwell_typed peer_typed
