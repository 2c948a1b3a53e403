#!/usr/bin/env bash
# Installs what the tests of remote nodes run: an ssh server, a userspace WireGuard, a proxy. None
# of them is started on this machine, now or at boot. Only root can make the hosts of those tests,
# so that others have nothing to install; and what a system does not have, its tests do without.
# For the test of desktops also a browser, and what drives it, into target/browser.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

policy=/usr/sbin/policy-rc.d
made=
trap '[ -z "$made" ] || rm -f "$policy"' EXIT

# Packages start their services when they are installed, unless this file says no.
forbid_starting() {
    [ ! -e "$policy" ] || return 0
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    made=yes
    chmod 755 "$policy"
}

# Undoes what the installation of a package arranged for the next boot.
disable_at_boot() {
    local service
    for service in "$@"; do
        ! has systemctl || systemctl disable --quiet "$service" 2>/dev/null || true
        [ ! -e "/etc/init.d/$service" ] || update-rc.d "$service" disable >/dev/null 2>&1 || true
    done
}

# Installs a package unless its program is there.
provide() {
    local program=$1 package=$2
    shift 2
    ! has "$program" || return 0
    apt_update
    if [ -z "$(apt_candidate "$package")" ]; then
        say "this system has no package $package: tests that need it are skipped"
        return
    fi
    forbid_starting
    apt_install "$package"
    disable_at_boot "$@"
}

# Puts the browser's driver where the test looks for it, as its lockfile says.
provide_driver() {
    local from=crates/dwell-testkit/browser to=target/browser
    has npm || { say "npm is not installed: the test that needs a browser is skipped"; return; }
    [ ! -d "$to/node_modules/playwright-core" ] ||
        ! cmp -s "$from/package-lock.json" "$to/package-lock.json" || return 0
    say "installing the browser's driver"
    mkdir -p "$to"
    cp "$from/package.json" "$from/package-lock.json" "$to/"
    if ! timeout 120 npm ci --prefix "$to" --ignore-scripts --no-audit --no-fund --silent >/dev/null; then
        rm -rf "$to"
        say "npm could not install it: the test that needs a browser is skipped"
    fi
}

[ "$(uname -s)" = Linux ] || exit 0
provide_driver
has apt-get && [ "$(id -u)" -eq 0 ] || exit 0
[ ! -d target/browser ] || provide chromium chromium
provide sshd openssh-server ssh.service ssh.socket ssh
provide ssh openssh-client
provide iptables iptables
provide ps procps
provide wireguard-go wireguard-go
provide wg wireguard-tools
provide dig bind9-dnsutils
provide caddy caddy caddy.service
provide nginx nginx-light nginx.service
