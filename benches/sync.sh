#!/usr/bin/env bash
# Compares sending a git project of many files to another node with `rsync -a`, both over the same
# ssh to this machine: the first time, and when nothing has changed. Source, target and repository
# are in one directory that goes away afterwards, in /dev/shm where that has room, else in $TMPDIR.
# usage: benches/sync.sh [rounds] [files]
cd "$(dirname "$0")/.."
. benches/lib.sh

rounds=${1:-${BENCH_SYNC_ROUNDS:-3}}
files=${2:-100000}
# What source, objects and two copies take, with room to spare, in KiB.
needed=$((files * 40))
place=/dev/shm
[ -w "$place" ] && [ "$(df --output=avail "$place" | tail -1)" -gt "$needed" ] || place=${TMPDIR:-/tmp}
if [ "$(df --output=avail "$place" | tail -1)" -le "$needed" ]; then
    echo "skipped: $place has no $((needed / 1024)) MiB to spare"
    exit 0
fi
sshd=$(command -v sshd || echo /usr/sbin/sshd)
if ! { [ -x "$sshd" ] && command -v rsync >/dev/null; }; then
    echo "skipped: sshd or rsync is not installed"
    exit 0
fi

target=${CARGO_BUILD_TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
cargo build --quiet --release --locked -p dwell-drivers --example travel --target "$target"
example=$(realpath "${CARGO_TARGET_DIR:-target}/$target/release/examples/travel")

work=$(mktemp -d "$place/dwell-bench-sync-XXXXXX")
chmod 700 "$work"
server=
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT

# An sshd of our own that only listens here and only lets our own key in.
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
ssh-keygen -q -t ed25519 -N '' -f "$work/host"
port=$((20000 + RANDOM % 10000))
cat >"$work/sshd_config" <<EOF
ListenAddress 127.0.0.1
Port $port
HostKey $work/host
AuthorizedKeysFile $work/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
EOF
# One that runs as root wants this directory.
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
"$sshd" -D -e -f "$work/sshd_config" 2>"$work/sshd.log" &
server=$!
echo "[127.0.0.1]:$port $(cat "$work/host.pub")" >"$work/known_hosts"
cat >"$work/ssh_config" <<EOF
Host bench
    HostName 127.0.0.1
    Port $port
    IdentityFile $work/key
    IdentitiesOnly yes
    UserKnownHostsFile $work/known_hosts
    LogLevel ERROR
EOF
ssh=(ssh -F "$work/ssh_config" bench)
for _ in {1..50}; do
    if "${ssh[@]}" true 2>/dev/null; then break; fi
    sleep 0.1
done
"${ssh[@]}" true

"$example" generate "$work/source" "$files"
# As a repository is that has been in use: its objects are in one pack, not in as many files again.
git -C "$work/source" repack -adq

# One connection is made by each call on both sides, as `rsync -a` makes one.
dwell_sync() {
    "$example" send "$work/source" "$work/home" "${ssh[@]}" \
        "$example" receive "$work/store" "$work/trees/a1" "$work/state"
}
prepare_dwell_first() {
    rm -rf "$work"/{home,store,trees,state}
    mkdir -p "$work"/{home,trees,state}
}
dwell_first() { dwell_sync; }
dwell_unchanged() { dwell_sync; }
clean_dwell_unchanged() {
    diff <(cd "$work/source" && find . -path ./.git -prune -o -type f -print | sort) \
        <(cd "$work/trees/a1" && find . -path ./.git -prune -o -type f -print | sort)
}

rsync_sync() {
    rsync -a -e "ssh -F $work/ssh_config" "$work/source/" "bench:$work/copy/"
}
prepare_rsync_first() { rm -rf "$work/copy"; }
rsync_first() { rsync_sync; }
rsync_unchanged() { rsync_sync; }

bench_section "Sources on their way to another node, on $(stat -f -c %T "$work")"
bench_cycle "$rounds" dwell rsync \
    "first|first sync of a git tree with $files files / \`rsync -a\`|0.7" \
    "unchanged|sync of it when nothing has changed / \`rsync -a\`|0.35"
