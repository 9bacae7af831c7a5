//! What must hold for any bytes whatever: a check for each target, used by the fuzzer and by the core's tests.
//!
//! Holds: a check panics when the core breaks a promise, and on nothing else.
//! Plan:  the first bytes of an input choose how the core is driven (blocks, sizes, options), the rest is what
//!        it is fed; so the committed corpus can be read, and a finding can be shortened by hand.

pub mod filter;
pub mod index;
pub mod json;
pub mod merge;
pub mod stamp;

/// Numbers that follow from a seed: where blocks are cut, who is fed next.
pub(crate) struct Luck(u64);

impl Luck {
    pub(crate) fn new(seed: &[u8]) -> Self {
        Luck(
            seed.iter()
                .fold(0x9e37_79b9_7f4a_7c15, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)),
        )
    }

    /// A number below `bound` (xorshift64: G. Marsaglia, Xorshift RNGs, 2003).
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound.max(1)
    }
}

/// Whether `serde_json`, at any depth, takes these bytes for one JSON object.
pub(crate) fn is_object(line: &[u8]) -> bool {
    let first = line.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    // Values are skipped and not built, so what the grammar allows passes: 1e400, a lone surrogate, a key twice.
    first == Some(&b'{')
        && std::str::from_utf8(line).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}
