#!/usr/bin/env bash
# Install logflume's wheel with its `airflow` extra in the place of an older one: `scripts/install_here.sh DIR WHEELS`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dir=$1
wheel=$(ls "$PWD/$2"/*.whl)
# The same version, built anew.
"$dir/bin/python" -m pip --quiet --disable-pip-version-check uninstall --yes logflume 2>/dev/null
scripts/pip_install.sh "$dir" "$wheel[airflow]"
