#!/usr/bin/env bash
# Looks for known vulnerabilities in what Vel calls, in the module of the folder that is named (the root's unless one is).
#
# The database is not a package registry, so where tests run it may not be reachable. Then nothing was checked, and that
# is what this says: it is no success. With VULNCHECK=required it is a failure. GOVULNDB names a mirror: an https:// URL,
# or file:// and a folder.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
module=${1:-$root}
version=v1.9.0
tool=$root/bin/govulncheck-$version
db=${GOVULNDB:-https://vuln.go.dev}

# dated prints how new the database is, and fails if it can not be read.
dated() {
  if [[ $db == file://* ]]; then
    cat "${db#file://}/index/db.json"
  else
    curl -fsS -m 15 "$db/index/db.json"
  fi 2>/dev/null | sed -nE 's/.*"modified": *"([^"]+)".*/\1/p' | grep .
}

echo "== known vulnerabilities"
if ! date=$(dated); then
  echo "NOT CHECKED: the vulnerability database at $db can not be read from here." >&2
  echo "Name a mirror in GOVULNDB, or run make vuln where there is one, before a release." >&2
  [ "${VULNCHECK:-}" != required ]
  exit
fi
if [ ! -x "$tool" ]; then
  echo "== building govulncheck $version, once"
  GOBIN=$root/bin go install "golang.org/x/vuln/cmd/govulncheck@$version"
  mv "$root/bin/govulncheck" "$tool"
fi
echo "against the database of $date"
"$tool" -C "$module" -db "$db" ./...
