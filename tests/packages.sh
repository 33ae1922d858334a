#!/usr/bin/env bash
# Makes sure that the programs the tests need are here. Root on a Debian machine: installs what is
# missing. Anybody else: says what to install and fails, so that no test is ever skipped for want of one.
set -euo pipefail

# A program that a test calls, a command that proves it works, and the Debian packages it comes from.
needs=(
  "node|node --version|nodejs"
  "npm|npm --version|npm"
  "python3 with venv|python3 -c 'import ensurepip, venv'|python3 python3-venv"
  "curl|curl --version|curl"
  # The packages start a server of their own where there is an init; the tests never use that one.
  "Postgres 13 or newer|ls /usr/lib/postgresql/*/bin/postgres|postgresql"
  "PgBouncer|PATH=\$PATH:/usr/sbin pgbouncer --version|pgbouncer"
  "Redis 7|redis-server --version && redis-cli --version|redis-server"
  "Prometheus and promtool|prometheus --version && promtool --version|prometheus"
  "Chromium|chromium --version || google-chrome --version|chromium"
  "setpriv|setpriv --version|util-linux"
  "a C compiler for the race detector|printf '#include <stdlib.h>' | cc -E -|gcc libc6-dev"
)

names=() packages=()
for need in "${needs[@]}"; do
  IFS='|' read -r name rest <<<"$need"
  proof=${rest%|*} from=${rest##*|}
  if ! bash -c "$proof" >/dev/null 2>&1; then
    names+=("$name")
    read -ra words <<<"$from"
    packages+=("${words[@]}")
  fi
done
[ ${#packages[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "make test needs: ${names[*]}" >&2
  echo "install them, for example: sudo apt-get install -y ${packages[*]}" >&2
  exit 1
fi
echo "== installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
