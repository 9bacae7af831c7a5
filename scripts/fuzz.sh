#!/usr/bin/env bash
# Feed the core hostile input: its property tests with many cases, then each target of rust/fuzz for FUZZ_S seconds.
#
# Holds: every target runs, whatever the others found. What is found stays: new inputs in rust/fuzz/corpus, those that
#        fail in rust/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${FUZZ_S:=60}"
: "${PROPTEST_CASES:=2000}"
export PROPTEST_CASES

echo "property tests of the core, $PROPTEST_CASES cases each …"
scripts/with_rust.sh cargo test --quiet --release --manifest-path rust/Cargo.toml --package logflume-core >/dev/null

if ! scripts/with_rust.sh cargo fuzz --version >/dev/null 2>&1; then
    echo "installing cargo-fuzz (a minute or two, once) …"
    scripts/with_rust.sh cargo install --quiet --locked cargo-fuzz
fi
rustup toolchain list | grep -q ^nightly || rustup toolchain install nightly --profile minimal --no-self-update

logs=$PWD/build/fuzz
mkdir -p "$logs"
cd rust
failed=0
for target in $(cargo +nightly fuzz list); do
    echo "fuzzing $target for $FUZZ_S s …"
    # Safe Rust needs no address sanitizer, and is some times faster without.
    if ! RUST_BACKTRACE=0 cargo +nightly fuzz run --sanitizer none "$target" -- \
        -max_total_time="$FUZZ_S" -print_final_stats=1 >"$logs/$target.log" 2>&1; then
        failed=1
        grep -A 1 -E 'panicked at|ERROR: libFuzzer|^error' "$logs/$target.log" | head -n 6
        grep -m 1 -E 'cargo fuzz run .*artifacts' "$logs/$target.log" || echo "see $logs/$target.log"
    else
        grep -E 'number_of_executed_units' "$logs/$target.log"
    fi
done
exit $failed
