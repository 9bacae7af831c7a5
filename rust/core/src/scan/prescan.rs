//! Scan a block before it is known how the one before it ends: several threads can share one source.
//!
//! Holds: a block, its records, and the record left open at its end.
//! Plan:  nearly all work on a block does not depend on what came before it. From the first whole line with a
//!        time on, records are what they are, unless an earlier time was higher. So this scans from that line on
//!        by guess; [`Scanner::scan_prescanned`] then adds what belongs to the record before, and scans the block
//!        anew where the guess was wrong. (Speculative parsing, as Ge, Li, Eilebrecht, Chandramouli and Kossmann
//!        do it for CSV: "Speculative Distributed CSV Data Parsing for Big Data Analytics", SIGMOD 2019.)

use super::{Batch, Scanner, UNTIMED};

/// Scans blocks of one source in any order, in any thread.
pub struct Prescanner(Scanner);

/// A block scanned by guess.
pub struct Prescan<B> {
    block: B,
    guess: Option<Guess>,
}

/// What a scanner is left with when it begins at the line at `from`, and nothing is open before it.
pub(super) struct Guess {
    from: usize,
    /// Time of its first record; `UNTIMED` if there is no time at all.
    starts_at: i64,
    after: Scanner,
}

impl Guess {
    pub(super) fn fits(&self, from: usize, floor: i64) -> bool {
        self.from == from && self.starts_at >= floor
    }
}

impl Prescanner {
    /// Scan a block on its own.
    pub fn prescan<B: AsRef<[u8]>>(&self, block: B) -> Prescan<B> {
        let mut scanner = self.0.fresh();
        let bytes = block.as_ref();
        let guess = scanner.first_record(bytes).map(|(from, starts_at)| {
            scanner.records.reserve(bytes.len() / 64);
            scanner.scan_block(bytes, from, 0);
            Guess { from, starts_at, after: scanner }
        });
        Prescan { block, guess }
    }
}

impl Scanner {
    /// What scans blocks of this source ahead of it.
    pub fn prescanner(&self) -> Prescanner {
        Prescanner(self.fresh())
    }

    /// Do what [`Scanner::scan`] does with the same block, with less left to do.
    pub fn scan_prescanned<B: AsRef<[u8]>>(&mut self, prescan: Prescan<B>) -> Batch<B> {
        self.scan_with(prescan.block, prescan.guess)
    }

    fn fresh(&self) -> Scanner {
        Scanner::with(self.settings.clone(), self.stamps.clone())
    }

    /// Where the first whole line with a time begins; without any, where the first whole line does.
    fn first_record(&mut self, block: &[u8]) -> Option<(usize, i64)> {
        let mut newlines = memchr::memchr_iter(b'\n', block);
        let first = newlines.next()? + 1;
        let mut line = first;
        for newline in newlines {
            if let Some(time) = self.time_of(&block[line..newline]) {
                return Some((line, time.ns));
            }
            line = newline + 1;
        }
        (first < line).then_some((first, UNTIMED))
    }

    /// Take over where a guess has ended.
    pub(super) fn adopt(&mut self, guess: Guess, block_base: u64) {
        let Guess { mut after, .. } = guess;
        self.records.append(&mut after.records);
        self.tail = after.tail;
        self.tail_base = block_base + after.tail_base;
        self.tail_line = after.tail_line;
        self.open = after.open;
        self.floor = after.floor;
        self.shape = after.shape;
        self.counts.add(&after.counts);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Record, Settings};
    use super::*;
    use proptest::prelude::*;

    const LINES: [&str; 10] = [
        "2024-11-20T12:34:56Z one\n",
        "2024-11-20T12:34:57Z two\n",
        "2024-11-20T12:34:55Z late\n",
        "{\"timestamp\":\"2024-11-20T12:34:58Z\",\"event\":\"three\"}\n",
        "  of a traceback, somewhat longer than the other lines are\n",
        "Traceback (most recent call last):\n",
        "{\"event\":\"without a time\"}\n",
        "\n",
        "no newline",
        "\u{e9}\n",
    ];

    /// What matters of a batch: its records with their bytes, and what was counted.
    fn told(batch: &Batch<&[u8]>) -> impl PartialEq + std::fmt::Debug {
        let tell = |record: &Record| {
            (
                record.ts,
                batch.bytes(record).to_vec(),
                record.lines,
                record.flags & !Record::IN_HEAD,
                batch.end_of(record),
            )
        };
        (batch.records().iter().map(tell).collect::<Vec<_>>(), batch.end, batch.floor, format!("{:?}", batch.counts))
    }

    fn scanner(max_record_bytes: usize) -> Scanner {
        Scanner::new(&Settings { json: true, levels: true, max_record_bytes, ..Settings::default() }).expect("UTC")
    }

    #[test]
    fn a_good_guess_is_kept() {
        let blocks: [&[u8]; 2] = [b"2024-11-20T12:34:56Z one\nmo", b"re\n2024-11-20T12:34:57Z two\nmore\n"];
        let mut scanner = scanner(1 << 20);
        scanner.scan(blocks[0]);
        let prescan = scanner.prescanner().prescan(blocks[1]);
        let guess = prescan.guess.as_ref().expect("it has a time");
        assert!(guess.fits(3, scanner.floor()));
        assert_eq!(guess.after.counts.lines, 2);
        assert_eq!(scanner.scan_prescanned(prescan).records().len(), 1);
    }

    proptest! {
        #[test]
        fn a_block_is_the_same_scanned_ahead_or_not(
            lines in proptest::collection::vec(0..LINES.len(), 0..40),
            size in 1_usize..200,
            limit in prop_oneof![Just(16_usize), Just(40), Just(1 << 20)],
        ) {
            let text: String = lines.iter().map(|&line| LINES[line]).collect();
            let (mut plain, mut ahead) = (scanner(limit), scanner(limit));
            let prescanner = ahead.prescanner();
            for block in text.as_bytes().chunks(size) {
                prop_assert_eq!(told(&plain.scan(block)), told(&ahead.scan_prescanned(prescanner.prescan(block))));
            }
            prop_assert_eq!(told(&plain.finish()), told(&ahead.finish()));
        }
    }
}
