#!/usr/bin/env bash
# Make a virtual environment with the newest suitable Python: `scripts/make_venv.sh DIR`.
# An environment that works is left as it is.
set -euo pipefail

dir=$1
suits='import sys; sys.exit(sys.version_info < (3, 10))'

if "$dir/bin/python" -c "$suits" 2>/dev/null && "$dir/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

python=
for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    if "$name" -c "$suits" 2>/dev/null; then
        python=$(command -v "$name")
        break
    fi
done
if [ -z "$python" ]; then
    echo "logflume needs Python 3.10 or newer, and there is none on PATH." >&2
    exit 1
fi

# Debian's python3 has no ensurepip until python3-venv is installed.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $package …" >&2
        DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null 2>&1 || true
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$package" >/dev/null
    else
        echo "$python cannot make virtual environments. Install $package, then run this again." >&2
        exit 1
    fi
fi

echo "making $dir with $("$python" --version) …" >&2
rm -rf "$dir"
"$python" -m venv "$dir"
