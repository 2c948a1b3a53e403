#!/usr/bin/env bash
# The main job on the example, step by step: two environments of one compose project side by side,
# every service reached by name, and a session that outlives its client. Each step prints the
# command before its output. What it makes stays up to be played with; `make demo-clean` removes it.
#
# usage: scripts/demo.sh [--clean] path/to/dwell
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

clean=no
if [ "${1:-}" = --clean ]; then
    clean=yes
    shift
fi
binary=$(realpath "${1:?usage: scripts/demo.sh [--clean] path/to/dwell}")
shop=$PWD/target/demo/shop
PATH=$(dirname "$binary"):$PATH

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' green=$'\e[32m' plain=$'\e[0m'
else
    bold='' green='' plain=''
fi

step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { printf '\n%s$ %s%s\n' "$green" "$*" "$plain"; }

# A command line as one would type it: words that need quotes have them.
typed() {
    local word line=''
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
        line+="$word "
    done
    printf '%s' "${line% }"
}

# Shows a command and runs it; the demo ends where it fails.
run() {
    show "$(typed "$@")"
    "$@" || die "the last command ended with exit code $?" \
        "\`dwell doctor\` looks for the cause; \`make demo-clean\` removes what was made"
}

# Waits until a command succeeds, at most 60 s.
until_ok() {
    local _
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.2
    done
    die "still failing after 60 s: $*"
}

# Removes what an earlier run made.
remove() {
    if [ -d "$shop" ]; then
        (cd "$shop" && dwell destroy red blue --force --ignore-not-found) >&2 ||
            die "the environments of $shop were not removed"
        rm -rf "$shop"
    fi
}

# A git repository of its own, as a newcomer's project would be.
copy_example() {
    mkdir -p "$(dirname "$shop")"
    cp -R examples/shop "$shop"
    git -C "$shop" init --quiet --initial-branch main
    git -C "$shop" add --all
    git -C "$shop" -c user.name=demo -c user.email=demo@localhost commit --quiet --message "The shop"
}

two_environments() {
    step "1. Two environments of the same project, up at once. Its compose file fixes container
   names and host ports, so without dwell the second copy would not start. It is not changed."
    run dwell up red --wait
    run dwell up blue --wait
    run dwell ls
    run dwell status red
}

by_name() {
    local environment
    step "2. Every service has one name. Two databases listen on port 5432 side by side."
    if ! has dig && has apt-get; then apt_install bind9-dnsutils; fi
    if has dig; then
        for environment in red blue; do
            run dig +short @127.0.0.1 -p 5354 "db.$environment.test"
        done
    fi
    run dwell url red
    until_ok curl -fsS http://web.red.localhost:7080/api/orders
    until_ok curl -fsS http://web.blue.localhost:7080/api/orders
    run curl -sS -d sourdough http://web.red.localhost:7080/api/orders
    run curl -sS http://web.red.localhost:7080/api/orders
    run curl -sS http://web.blue.localhost:7080/api/orders
    run dwell exec red db psql -U shop -c 'select * from orders'
    echo
    echo "The same names hold inside the containers:"
    run dwell exec red api python3 -c \
        'import urllib.request as u; print(u.urlopen("http://web.red.test/api/orders").read().decode())'
}

agent_waits() { dwell logs red --session agent | grep -q "what next?"; }
agent_heard() { dwell logs red --session agent | grep -q "noted: bake more"; }

outliving_session() {
    step "3. A session outlives its client. A stand-in for a coding agent works on red's own branch;
   nobody is attached to it, and it goes on even while dwell's own daemon is stopped."
    run dwell run --detach --name agent sh red ./tools/agent 'Now with cakes'
    until_ok agent_waits
    run dwell logs red --session agent
    echo
    run dwell node stop
    run dwell sessions
    run dwell send --session agent red 'bake more'
    until_ok agent_heard
    run dwell logs red --session agent
    echo
    echo "Its work is on the branch dwell/red, live in red and nowhere else:"
    run dwell diff red
    until_ok curl -fsS http://web.red.localhost:7080/
    run curl -sS http://web.red.localhost:7080/
    run curl -sS http://web.blue.localhost:7080/
}

good_bye() {
    step "Both environments are still up. From here:"
    cat <<TXT
   cd $shop
   export PATH=$(dirname "$binary"):\$PATH
   dwell attach red               back to the agent (detach with ctrl-b d)
   dwell run bash blue            a shell in blue's tree
   dwell merge red                bring the agent's commit to your branch
   dwell setup                    http://web.red.test without a port, for every program
   make demo-clean                remove all of it (in $PWD)
TXT
}

[ -x "$binary" ] || die "$binary is not there" "run: make build"
remove
if [ "$clean" = yes ]; then
    say "the demo is removed"
    exit 0
fi
copy_example
cd "$shop"
two_environments
by_name
outliving_session
cd - >/dev/null
good_bye
