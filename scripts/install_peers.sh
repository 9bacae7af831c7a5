#!/usr/bin/env bash
# Install the peers that come as Debian packages. Without them the benchmarks run and say what is left out.
set -euo pipefail

packages=()
command -v rg >/dev/null || packages+=(ripgrep)
command -v lnav >/dev/null || packages+=(lnav)
command -v s6-log >/dev/null || packages+=(s6)
command -v svlogd >/dev/null || packages+=(runit)
command -v multilog >/dev/null || packages+=(daemontools)
command -v rotatelogs >/dev/null || packages+=(apache2-utils)
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "left out: ${packages[*]} (install by hand: apt-get install ${packages[*]})" >&2
    exit 0
fi
echo "installing ${packages[*]} to measure against …"
DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null 2>&1 || true
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null 2>&1 ||
    echo "left out: ${packages[*]} (apt-get could not install them)" >&2
