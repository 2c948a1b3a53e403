#!/usr/bin/env bash
# Runs a command with access to the engine. A user who was added to the group `docker` since the
# login has it only in a new login or, as here, through `sg`.
set -euo pipefail
socket=/var/run/docker.sock
if [ -n "${DOCKER_HOST:-}" ] || [ ! -S "$socket" ] || [ -w "$socket" ] || ! command -v sg >/dev/null; then
    exec "$@"
fi
exec sg docker -c "$(printf '%q ' "$@")"
