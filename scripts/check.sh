#!/usr/bin/env bash
# `scripts/check.sh lint`, or `scripts/check.sh all [pytest's own arguments]`.
#
# Holds: every part runs, whatever failed before it; pytest's closing line is the last one printed; a failure anywhere
#        is a failure of the whole.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

what=$1
shift
python=.venv/bin
cargo="scripts/with_rust.sh cargo"
manifest="--manifest-path rust/Cargo.toml"
failed=()

part() { # part NAME COMMAND…
    local name=$1
    shift
    echo "$name …"
    "$@" || failed+=("$name")
}

part "ruff check" $python/ruff check --quiet
part "ruff format" $python/ruff format --check --quiet
part "mypy" $python/mypy --no-error-summary
part "rustfmt" $cargo fmt $manifest --all --check
part "clippy" $cargo clippy --quiet $manifest --workspace --all-targets -- -D warnings
if [ -d web/node_modules ]; then
    part "the viewer: Biome, tsc" npm --prefix web run --silent lint
elif [ -n "${CI:-}" ]; then
    failed+=("the viewer: there is no Node.js")
fi
if [ "$what" = all ] && [ -d web/node_modules ]; then
    part "the viewer: Vitest" npm --prefix web test --silent
fi
if [ "$what" = all ]; then
    part "tests of the core" $cargo test --quiet $manifest --package logflume-core
fi

if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED: %s\n' "${failed[@]}"
fi
if [ "$what" = all ]; then
    echo "pytest …"
    $python/python -m pytest "$@" || exit
fi
[ ${#failed[@]} -eq 0 ]
