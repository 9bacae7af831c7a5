#!/usr/bin/env bash
# Build logflume as it is here into a folder, which then holds this one wheel: `scripts/make_wheel.sh DIR`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=$1
rm -rf "$dir"
mkdir -p "$dir"
PIP_QUIET=1 scripts/with_rust.sh .venv/bin/maturin build --quiet --release --out "$dir" >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
