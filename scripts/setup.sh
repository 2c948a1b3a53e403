#!/usr/bin/env bash
# Brings a Debian or Ubuntu machine to where dwell can be built, tested and shown: Docker Engine,
# the compose plugin 2.x, rsync, tmux, git. Installs what is missing, starts the engine when none
# answers, and does nothing otherwise. Safe to repeat.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

socket=/var/run/docker.sock
log=/var/log/dockerd.log

install_packages() {
    local missing=()
    has cc || missing+=(gcc libc6-dev)
    has curl || missing+=(curl)
    has git || missing+=(git)
    has ip || missing+=(iproute2)
    has rsync || missing+=(rsync)
    has tmux || missing+=(tmux)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    if ! has docker || { ! has dockerd && ! engine_answers; }; then
        missing+=(docker.io)
        # Newer releases ship the client in a package of its own.
        apt_update
        [ -z "$(apt_candidate docker-cli)" ] || missing+=(docker-cli)
        installed_docker=yes
    fi
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

compose_is_new_enough() {
    case "$(timeout 20 docker compose version --short 2>/dev/null)" in
        2.* | v2.* | [3-9].* | v[3-9].*) return 0 ;;
        *) return 1 ;;
    esac
}

install_compose() {
    apt_update
    if [ -n "$(apt_candidate docker-compose-v2)" ]; then
        apt_install docker-compose-v2
    elif [ -n "$(apt_candidate docker-compose-plugin)" ]; then
        apt_install docker-compose-plugin
    else
        case "$(apt_candidate docker-compose)" in
            "" | 1.*) install_compose_from_newer_debian ;;
            *) apt_install docker-compose ;;
        esac
    fi
    compose_is_new_enough || die "the compose plugin was installed, but \`docker compose version\` does not answer" \
        "run \`docker compose version\` to see why"
}

# This release's own docker-compose is 1.x. The next release's package is one static program:
# taken with an apt state of its own, checked against Debian's archive keys like any package.
install_compose_from_newer_debian() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg dir mirror
    [ -e "$keyring" ] || apt_install debian-archive-keyring
    mirror=$(debian_mirror)
    say "installing the compose plugin from Debian 13"
    dir=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$dir'" EXIT
    chmod 755 "$dir"
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/root"
    echo "deb [signed-by=$keyring] $mirror trixie main" >"$dir/sources.list"
    local private=("${apt_options[@]}" -qq
        -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache"
        -o APT::Sandbox::User=root)
    as_root apt-get "${private[@]}" update
    (cd "$dir" && as_root apt-get "${private[@]}" download docker-compose)
    dpkg -x "$dir"/docker-compose_*.deb "$dir/root"
    as_root install -D -m 755 "$dir/root/usr/libexec/docker/cli-plugins/docker-compose" \
        /usr/local/lib/docker/cli-plugins/docker-compose
    rm -rf "$dir"
    trap - EXIT
}

# The Debian mirror that this machine already uses.
debian_mirror() {
    local found
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources \
        2>/dev/null | grep -v '^ *#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1 | tr -d ' ' || true)
    echo "${found:-http://deb.debian.org/debian}"
}

# Whether a process id belongs to a running (not dead, not zombie) program of this name.
is_running() {
    [ -n "$1" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ] &&
        ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null
}

# The process id of a dockerd in this network namespace. Two of them would destroy each other's
# bridge; engines in network namespaces of their own do not count.
running_dockerd() {
    local proc pid here
    here=$(readlink /proc/self/ns/net)
    for proc in /proc/[0-9]*; do
        pid=${proc#/proc/}
        if is_running "$pid" dockerd && [ "$(as_root readlink "$proc/ns/net" 2>/dev/null)" = "$here" ]; then
            echo "$pid"
            return
        fi
    done
}

# Removes a pid file that a killed engine left and that would keep the next from starting.
drop_stale_pid() {
    local file=$1 program=$2
    if [ -e "$file" ] && ! is_running "$(cat "$file")" "$program"; then
        as_root rm -f "$file"
    fi
}

wait_for_engine() {
    local seconds=$1
    for _ in $(seq $((seconds * 5))); do
        if engine_runs; then return 0; fi
        sleep 0.2
    done
    return 1
}

permission_denied() { [ -S "$socket" ] && [ ! -w "$socket" ]; }

# Whether an engine answers this user, or would answer root.
engine_runs() {
    engine_answers || { permission_denied && as_root timeout 10 docker version >/dev/null 2>&1; }
}

start_engine() {
    case "${DOCKER_HOST:-unix://$socket}" in
        "unix://$socket" | "unix:///run/docker.sock") ;;
        *) die "the engine at DOCKER_HOST=$DOCKER_HOST does not answer" \
            "start it, or unset DOCKER_HOST to use an engine on this machine" ;;
    esac
    has dockerd || die "no container engine answers and dockerd is not installed" \
        "start your engine (Docker Desktop, OrbStack, Colima, ...) and run this again"
    if [ -z "$(running_dockerd)" ]; then
        drop_stale_pid /var/run/docker.pid dockerd
        drop_stale_pid /var/run/docker/containerd/containerd.pid containerd
        say "starting the Docker engine"
        if [ -d /run/systemd/system ]; then
            as_root systemctl start docker || true
        else
            as_root setsid sh -c "exec dockerd >>$log 2>&1 </dev/null" &
            disown
        fi
    fi
    wait_for_engine 60 || die "the Docker engine does not answer within 60 s" "its last words:" \
        "$({ tail -n 15 "$log" || journalctl -u docker -n 15 --no-pager; } 2>/dev/null || echo none)"
}

# Members of the group `docker` may use the engine, which is as good as being root.
join_docker_group() {
    local user
    user=$(id -un)
    if id -nG "$user" | grep -qw docker; then return; fi
    if [ "${installed_docker:-}" = yes ]; then
        say "adding $user to the group docker"
        as_root usermod -aG docker "$user"
    else
        die "the Docker engine is running, but $user may not use it" \
            "run: sudo usermod -aG docker $user" "then log in again"
    fi
}

main() {
    if [ "$(uname -s)" != Linux ]; then
        local tool
        for tool in docker git rsync tmux; do
            has "$tool" || die "$tool is not installed" "install it, then run this again"
        done
        engine_answers || die "no container engine answers" "start it, then run this again"
        compose_is_new_enough || die "\`docker compose\` 2.x is not installed"
        return
    fi
    install_packages
    engine_runs || start_engine
    ! permission_denied || join_docker_group
    compose_is_new_enough || install_compose
}

main
