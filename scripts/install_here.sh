#!/usr/bin/env bash
# Install logflume as it is here, as a wheel with its `airflow` extra: `scripts/install_here.sh DIR`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=$1
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
PIP_QUIET=1 scripts/with_rust.sh .venv/bin/maturin build --quiet --release --out "$wheels" >"$wheels/log" 2>&1 || { cat "$wheels/log"; exit 1; }
wheel=$(ls "$wheels"/*.whl)
"$dir/bin/python" -m pip --quiet --disable-pip-version-check uninstall --yes logflume 2>"$wheels/log" # the same version, built anew
scripts/pip_install.sh "$dir" "$wheel[airflow]"
