# shellcheck shell=bash
# Shared by the scripts in this folder; sourced, never run.

# Users' own PATH often lacks the system's programs.
PATH=$PATH:/usr/sbin:/sbin

# Says one line of progress on stderr.
say() { printf '==> %s\n' "$*" >&2; }

# Ends with an error: what failed, then what to do.
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        die "root is needed for: $*" "run this as root, or install sudo"
    fi
}

apt_options=(
    -o DPkg::Lock::Timeout=300
    -o Acquire::Retries=3
    -o Acquire::http::Timeout=30
    -o Acquire::https::Timeout=30
)

# Brings the package lists up to date, once for all scripts of one run.
apt_update() {
    [ -z "${DWELL_APT_UPDATED:-}" ] || return 0
    as_root apt-get "${apt_options[@]}" -qq update || die "the package lists could not be updated" \
        "check the network and /etc/apt, then run this again"
    export DWELL_APT_UPDATED=1
}

# Installs packages of the distribution.
apt_install() {
    has apt-get || die "not installed: $*" "install it with this system's own means, then run this again"
    say "installing $*"
    apt_update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get "${apt_options[@]}" -qq -o Dpkg::Use-Pty=0 \
        install -y --no-install-recommends "$@" >/dev/null || die "apt-get could not install: $*"
}

# The version of a package that apt would install; empty where there is none.
apt_candidate() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p' | grep -v '(none)' || true
}

# Whether a container engine answers this user.
engine_answers() { has docker && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
