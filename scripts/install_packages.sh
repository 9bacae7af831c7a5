#!/usr/bin/env bash
# Install the Debian packages that tests need: `scripts/install_packages.sh LIST`. What is there is left as it is.
#
# Without root or apt-get, it says what is missing and goes on: each test that needs it says so again (and fails where
# CI is set).
set -euo pipefail

missing=()
while read -r shows package; do
    [[ -z $shows || $shows == \#* || -e $shows ]] || missing+=("$package")
done <"$1"
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "some tests need ${missing[*]} (install by hand: apt-get install ${missing[*]})" >&2
    exit 0
fi
echo "installing ${missing[*]} …"
# A service that comes with a package is not started: tests start their own, on free ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update >/dev/null 2>&1 || true
apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    echo "apt-get could not install ${missing[*]}; tests that need them will say so" >&2
