#!/usr/bin/env bash
# Install packages into a virtual environment: `scripts/pip_install.sh DIR ARGUMENTS OF pip install…`.
# With uv, which takes a tenth of pip's time; with pip where uv fails, as it does when only pip was told of a mirror.
set -euo pipefail

dir=$1
shift
uv=$(dirname "${BASH_SOURCE[0]}")/../.venv/bin/uv
if [ -x "$uv" ] && "$uv" pip install --quiet --python "$dir/bin/python" "$@"; then
    exit 0
fi
"$dir/bin/python" -m pip --quiet --disable-pip-version-check install "$@"
