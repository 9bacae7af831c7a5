#!/usr/bin/env bash
# Everything `make test` checks. All parts run, whatever failed before; pytest's closing line is the last one printed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=()
part() { # part NAME COMMAND…
    local name=$1
    shift
    echo "$name …"
    "$@" || failed+=("$name")
}

part "lint" make lint
part "tests of the core" make test-core
if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED before pytest: %s\n' "${failed[@]}"
fi

echo "pytest …"
"$PYTHON" -m pytest --quiet "$@" && [ ${#failed[@]} -eq 0 ]
