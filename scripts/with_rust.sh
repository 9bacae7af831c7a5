#!/usr/bin/env bash
# Run a command with a Rust that can build the core: `scripts/with_rust.sh cargo test`.
#
# Holds: nothing is installed when a new enough cargo is there, and nothing outside of the user's own
#        rustup unless we are root on Debian.
# Plan:  look, then install by the gentlest way there is, look again, run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$root/rust/Cargo.toml")
components=(--component clippy --component rustfmt)

say() { printf '%s\n' "$*" >&2; }

at_least() { # at_least HAVE WANTED
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

cargo_fits() {
    local have
    have=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) && [ -n "$have" ] && at_least "$have" "$wanted"
}

apt_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null 2>&1 || true
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null 2>&1
}

rustup_stable() {
    command -v rustup >/dev/null || return 1
    say "installing Rust stable with rustup (a minute, once) …"
    # A new rustup has no default toolchain; one that has keeps it, and only this run takes stable.
    rustup toolchain install stable --profile minimal --no-self-update "${components[@]}" >&2 || return 1
    export RUSTUP_TOOLCHAIN=stable
}

rustup_from_its_site() {
    command -v curl >/dev/null || apt_install curl ca-certificates || return 1
    say "installing rustup into $HOME/.cargo (a minute, once) …"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y -q --no-modify-path --profile minimal "${components[@]}" >&2 || return 1
    export RUSTUP_TOOLCHAIN=stable
}

# After an earlier run installed stable beside an old default, take it without asking anybody.
use_installed_stable() {
    command -v rustup >/dev/null && RUSTUP_TOOLCHAIN=stable cargo_fits && export RUSTUP_TOOLCHAIN=stable
}

export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
cargo_fits || use_installed_stable ||
    { rustup_stable && cargo_fits; } ||
    { apt_install rustup && rustup_stable && cargo_fits; } ||
    { rustup_from_its_site && cargo_fits; } || {
    say "logflume needs Rust $wanted or newer to build its core, and it could not be installed."
    say "Install it as https://rustup.rs says, then run this again."
    exit 1
}

command -v cc >/dev/null || apt_install gcc libc6-dev || {
    say "Rust needs a C linker and there is no 'cc'. Install gcc (Debian: apt-get install gcc libc6-dev)."
    exit 1
}

exec "$@"
