#!/usr/bin/env bash
# Feed the core hostile input: property tests at length, then FUZZ_S seconds for each target of rust/fuzz.
# `scripts/fuzz.sh merge json`: these targets only.
#
# Holds: what is found stays. A failing input lands in rust/fuzz/artifacts, for the corpus to keep once it is mended;
#        inputs that reach new code are kept in rust/fuzz/target/inputs, and the next run begins with them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../rust/fuzz"
: "${FUZZ_S:=60}"
cargo="../../scripts/with_rust.sh cargo"

if [ $# = 0 ]; then
    echo "property tests of the core, at length …"
    PROPTEST_CASES=20000 $cargo test --quiet --release --manifest-path ../Cargo.toml --package logflume-core
fi

if ! $cargo fuzz --version >/dev/null 2>&1; then
    echo "installing cargo-fuzz (a minute, once) …"
    $cargo install --quiet --locked cargo-fuzz
fi
# Stable Rust keeps the fuzzer's instrumentation back; this lets it out, for the fuzzer's own build alone.
export RUSTC_BOOTSTRAP=1

for target in ${*:-$($cargo fuzz list)}; do
    echo "fuzzing $target for $FUZZ_S s …"
    inputs="target/inputs/$target"
    mkdir -p "$inputs"
    # No sanitizer: the core has no unsafe code, and eight times as many inputs find more.
    $cargo fuzz run --sanitizer none "$target" "$inputs" "corpus/$target" -- \
        -max_total_time="$FUZZ_S" -max_len=2000 -timeout=10 -verbosity=0 -print_final_stats=1
done
