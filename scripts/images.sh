#!/usr/bin/env bash
# Sees to it that images exist under the names given (by default those that the example uses):
# base images are present, or pulled, or built from the distribution's packages where no registry
# can be reached, so that the same Dockerfiles work online and offline; the tests' own are built
# from crates/dwell-testkit/images, and the smallest workspace images, without and with Docker, from
# images/workspace. Safe to repeat.
#
# usage: scripts/images.sh [debian:bookworm-slim|debian:bookworm|busybox:latest|dwell-test-<name> ...]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

work=
trap 'rm -rf "$work"' EXIT

present() { docker image inspect "$1" >/dev/null 2>&1; }

# An image of this name may be left over from a build that went wrong: it has to start.
works() {
    case $1 in
        busybox:*) docker run --rm --network none "$1" true >/dev/null 2>&1 ;;
        *) present "$1" ;;
    esac
}

# Whether Docker Hub answers, asked once.
registry_answers() {
    if [ -z "${registry:-}" ]; then
        case "$(curl -s -m 5 -o /dev/null -w '%{http_code}' https://registry-1.docker.io/v2/ || true)" in
            200 | 401) registry=yes ;;
            *) registry=no ;;
        esac
    fi
    [ "$registry" = yes ]
}

build_busybox() {
    local root=$work/busybox applet
    mkdir -p "$root"/{bin,etc,root,tmp,usr,var} "$work/deb"
    apt_update
    (cd "$work/deb" && apt-get "${apt_options[@]}" -qq -o APT::Sandbox::User=root download busybox-static)
    dpkg -x "$work"/deb/busybox-static_*.deb "$work/deb/root"
    cp "$(find "$work/deb/root" -path '*/bin/busybox' -type f | head -1)" "$root/bin/busybox"
    for applet in $("$root/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    ln -s bin "$root/sbin"
    ln -s ../bin "$root/usr/bin"
    ln -s ../bin "$root/usr/sbin"
    chmod 1777 "$root/tmp"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"
    tar -C "$root" --owner=0 --group=0 -c . |
        docker import -c 'CMD ["sh"]' -c 'ENV PATH=/bin:/sbin:/usr/bin:/usr/sbin' - "$1" >/dev/null
}

build_debian() {
    local release=${1#debian:} proxy=
    release=${release%-slim}
    has mmdebstrap || apt_install mmdebstrap
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || apt_install debian-archive-keyring
    proxy=$(apt-config shell p Acquire::http::Proxy | sed "s/^p='\(.*\)'$/\1/")
    as_root mmdebstrap --quiet --variant=minbase --include=ca-certificates \
        ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$release" "$work/debian.tar"
    docker import -c 'CMD ["bash"]' "$work/debian.tar" "$1" >/dev/null
    as_root rm -f "$work/debian.tar"
}

build() {
    local sibling
    say "building $1 from the distribution's packages"
    case $1 in
        busybox:*) build_busybox "$1" ;;
        debian:*)
            # The slim and the full name differ in documentation only: one base serves both.
            case $1 in *-slim) sibling=${1%-slim} ;; *) sibling=$1-slim ;; esac
            if present "$sibling"; then docker tag "$sibling" "$1"; else build_debian "$1"; fi
            ;;
        *) die "the image $1 is neither here nor can it be pulled" ;;
    esac
    works "$1" || die "the image $1 was built but does not work"
}

# Brings together what the workspace image is built from, as `dwell image build` does: with the
# certificates that the administrator of this machine added, and modes that no umask changed.
workspace_folder() {
    [ ! -d "$work/workspace" ] || return 0
    cp -r images/workspace "$work/workspace"
    cp /usr/local/share/ca-certificates/*.crt "$work/workspace/certificates/" 2>/dev/null || true
    chmod -R u=rwX,go=rX "$work/workspace"
}

# An image of the tests; from the engine's cache where nothing has changed.
build_own() {
    local folder=crates/dwell-testkit/images/${1#dwell-test-} options=()
    present "$1" || say "building $1"
    local agents target=base
    case $1 in
        dwell-test-workspace-image) agents='' ;;
        # All steps before the agents are those of the one without.
        dwell-test-workspace-agents) agents='claude codex opencode' ;;
        dwell-test-workspace-agents-more) agents='gemini aider' ;;
        dwell-test-workspace-docker) agents='' target=docker ;;
        dwell-test-desktop) agents='' target=desktop ;;
        dwell-test-android) provide dwell-test-desktop ;;
    esac
    if [ -n "${agents+set}" ]; then
        workspace_folder
        folder=$work/workspace
        options=(--target "$target" --build-arg BASE=debian:bookworm --build-arg "AGENTS=$agents")
    fi
    timeout 900 docker build --quiet --tag "$1" "${options[@]}" "$folder" >/dev/null 2>"$work/errors" ||
        die "the image $1 could not be built" "$(tail -n 5 "$work/errors")"
}

provide() {
    case $1 in dwell-test-*) build_own "$1" && return ;; esac
    if works "$1"; then return; fi
    if registry_answers; then
        say "pulling $1"
        if timeout 300 docker pull -q "$1" >/dev/null && works "$1"; then return; fi
    fi
    build "$1"
}

[ $# -gt 0 ] || set -- debian:bookworm-slim debian:bookworm busybox:latest
work=$(mktemp -d)
chmod 755 "$work"
for name in "$@"; do provide "$name"; done
