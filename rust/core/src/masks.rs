//! Where the newlines, quotes and special bytes of a block are, as bit masks: one bit a byte.
//!
//! Holds: three words for each 64 bytes of one block.
//! Plan:  one pass of 16-byte compares over the block; all later steps count trailing zeros
//!        instead of looking at bytes. The idea is stage 1 of simdjson (Langdale and Lemire,
//!        "Parsing Gigabytes of JSON per Second", VLDB Journal 2019), without its escape handling:
//!        a line with a special byte takes the slow way.

use wide::u8x16;

/// Bit masks of one block; reused from block to block.
#[derive(Default)]
pub struct Masks {
    /// `\n`
    newline: Vec<u64>,
    /// `"`
    quote: Vec<u64>,
    /// `\`, and control bytes other than `\n`
    special: Vec<u64>,
}

#[derive(Clone, Copy)]
struct Word {
    newline: u64,
    quote: u64,
    special: u64,
}

fn lanes(chunk: &[u8; 64], lane: usize) -> u8x16 {
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&chunk[lane * 16..lane * 16 + 16]);
    u8x16::new(bytes)
}

fn newline_word(chunk: &[u8; 64]) -> u64 {
    let mut word = 0;
    for lane in 0..4 {
        let bits = lanes(chunk, lane).simd_eq(u8x16::splat(b'\n')).to_bitmask();
        word |= u64::from(bits) << (lane * 16);
    }
    word
}

fn word(chunk: &[u8; 64]) -> Word {
    let mut word = Word { newline: 0, quote: 0, special: 0 };
    for lane in 0..4 {
        let bytes = lanes(chunk, lane);
        let newline = bytes.simd_eq(u8x16::splat(b'\n'));
        let quote = bytes.simd_eq(u8x16::splat(b'"'));
        let backslash = bytes.simd_eq(u8x16::splat(b'\\'));
        let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
        let shift = lane * 16;
        word.newline |= u64::from(newline.to_bitmask()) << shift;
        word.quote |= u64::from(quote.to_bitmask()) << shift;
        word.special |= u64::from((backslash | control).to_bitmask()) << shift;
    }
    word.special &= !word.newline;
    word
}

fn padded(rest: &[u8]) -> [u8; 64] {
    let mut chunk = [b' '; 64];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
}

impl Masks {
    /// Compute the masks of `block`; those of quotes and special bytes only if `quotes`.
    pub fn fill(&mut self, block: &[u8], quotes: bool) {
        let (chunks, rest) = block.as_chunks::<64>();
        if quotes {
            self.fill_all(chunks);
        } else {
            self.newline.clear();
            self.newline.extend(chunks.iter().map(newline_word));
        }
        if !rest.is_empty() {
            let word = word(&padded(rest));
            self.newline.push(word.newline);
            self.quote.push(word.quote);
            self.special.push(word.special);
        }
    }

    fn fill_all(&mut self, chunks: &[[u8; 64]]) {
        for mask in [&mut self.newline, &mut self.quote, &mut self.special] {
            mask.resize(chunks.len(), 0);
        }
        let masks = self.newline.iter_mut().zip(&mut self.quote).zip(&mut self.special);
        for (chunk, ((newline, quote), special)) in chunks.iter().zip(masks) {
            let word = word(chunk);
            *newline = word.newline;
            *quote = word.quote;
            *special = word.special;
        }
    }

    /// Newlines from byte `from` on, in order.
    pub fn newlines(&self, from: usize) -> Bits<'_> {
        Bits::new(&self.newline, from)
    }

    /// Quotes from byte `from` on, in order.
    pub fn quotes(&self, from: usize) -> Bits<'_> {
        Bits::new(&self.quote, from)
    }

    /// Whether any byte of `from..to` is special (a backslash or control byte other than `\n`).
    pub fn any_special(&self, from: usize, to: usize) -> bool {
        if from >= to {
            return false;
        }
        let (first, last) = (from / 64, (to - 1) / 64);
        let head = !0_u64 << (from % 64);
        let tail = !0_u64 >> (63 - (to - 1) % 64);
        if first == last {
            return self.special[first] & head & tail != 0;
        }
        self.special[first] & head != 0
            || self.special[last] & tail != 0
            || self.special[first + 1..last].iter().any(|&word| word != 0)
    }
}

/// The set bits of a mask as byte offsets, in rising order.
pub struct Bits<'a> {
    words: &'a [u64],
    at: usize,
    word: u64,
}

impl<'a> Bits<'a> {
    fn new(words: &'a [u64], from: usize) -> Self {
        let at = from / 64;
        let word = words.get(at).map_or(0, |word| word & (!0 << (from % 64)));
        Bits { words, at, word }
    }
}

impl Iterator for Bits<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.word == 0 {
            self.at += 1;
            self.word = *self.words.get(self.at)?;
        }
        let bit = self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some(self.at * 64 + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(block: &[u8], wanted: impl Fn(u8) -> bool) -> Vec<usize> {
        (0..block.len()).filter(|&at| wanted(block[at])).collect()
    }

    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|at| b"ab\"c\\\n\x00\x1f \xff\"\n"[(at * 7 + at / 5) % 12]).collect()
    }

    #[test]
    fn masks_say_what_a_byte_loop_says() {
        for len in [0, 1, 15, 16, 63, 64, 65, 127, 128, 200, 1000] {
            let block = sample(len);
            let mut masks = Masks::default();
            masks.fill(&block, true);
            let special = |b: u8| b == b'\\' || (b < 0x20 && b != b'\n');
            for from in [0, 1, 63, 64, 65, 199] {
                let after = |v: Vec<usize>| v.into_iter().filter(|&at| at >= from).collect::<Vec<_>>();
                assert_eq!(masks.newlines(from).collect::<Vec<_>>(), after(plain(&block, |b| b == b'\n')));
                assert_eq!(masks.quotes(from).collect::<Vec<_>>(), after(plain(&block, |b| b == b'"')));
                for to in from..len.min(from + 140) {
                    let said = block[from..to].iter().any(|&b| special(b));
                    assert_eq!(masks.any_special(from, to), said, "{len} {from} {to}");
                }
            }
            let mut fewer = Masks::default();
            fewer.fill(&block, false);
            assert_eq!(fewer.newlines(0).collect::<Vec<_>>(), masks.newlines(0).collect::<Vec<_>>());
        }
    }
}
