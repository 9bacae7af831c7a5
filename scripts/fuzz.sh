#!/usr/bin/env bash
# Feed the core hostile input, FUZZ_S seconds for each target: property tests at length, then each target of rust/fuzz.
#
# Holds: what is found stays: a failing input lands in rust/fuzz/artifacts or proptest-regressions, for a test to keep.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${FUZZ_S:=60}"

echo "property tests of the core, at length …"
PROPTEST_CASES=20000 scripts/with_rust.sh cargo test --quiet --release --manifest-path rust/Cargo.toml --package logflume-core

[ -d rust/fuzz ] || exit 0
if ! scripts/with_rust.sh cargo fuzz --version >/dev/null 2>&1; then
    echo "installing cargo-fuzz (a minute, once) …"
    scripts/with_rust.sh cargo install --quiet --locked cargo-fuzz
fi
rustup toolchain list | grep -q ^nightly || rustup toolchain install nightly --profile minimal --no-self-update
cd rust
for target in $(cargo +nightly fuzz list); do
    echo "fuzzing $target for $FUZZ_S s …"
    cargo +nightly fuzz run "$target" -- -max_total_time="$FUZZ_S" -print_final_stats=1 -verbosity=0
done
