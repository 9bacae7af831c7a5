//! Which records pass: by time, level, and a literal or a linear-time regular expression.
//!
//! Holds: one compiled pattern (at most [`PATTERN_BYTES`] of program).
//! Plan:  a block is searched as a whole, and hits are then laid over its records, so that a rare
//!        pattern costs one fast scan and not one search a record.

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

/// Bound of a compiled pattern; a larger one is refused.
pub const PATTERN_BYTES: usize = 8 << 20;

/// What is looked for in the bytes of a record.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// These bytes.
    Literal(Box<memmem::Finder<'static>>),
    /// This expression; `^` and `$` match at lines.
    Regex(Regex),
    /// The same, but its outcome depends on where the text starts or ends (`\A`, `\z`, `(?-m)`).
    RegexOfRecord(Regex),
}

/// A pattern that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct BadPattern {
    /// What is wrong with it.
    pub reason: String,
    /// Byte offset in the pattern, when it is known.
    pub position: Option<usize>,
}

impl Pattern {
    /// Look for `bytes` as they are; ASCII letters (all letters, if it has others) by either case on wish.
    ///
    /// # Errors
    /// A literal too large to compile.
    pub fn literal(bytes: &[u8], ignore_case: bool) -> Result<Self, BadPattern> {
        if !ignore_case {
            return Ok(Pattern::Literal(Box::new(memmem::Finder::new(bytes).into_owned())));
        }
        let unicode = !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok();
        let source = if unicode {
            regex::escape(&String::from_utf8_lossy(bytes))
        } else {
            bytes.iter().fold(String::new(), |source, byte| source + &format!("\\x{byte:02x}"))
        };
        compile(&source, true, unicode).map(Pattern::Regex)
    }

    /// Look for a regular expression in the syntax of the crate `regex`.
    ///
    /// # Errors
    /// Says what is wrong and where, or that the expression is too large.
    pub fn regex(source: &str, ignore_case: bool) -> Result<Self, BadPattern> {
        let compiled = compile(source, ignore_case, true)?;
        let of_record = ["\\A", "\\z", "(?"].iter().any(|part| source.contains(part));
        Ok(if of_record { Pattern::RegexOfRecord(compiled) } else { Pattern::Regex(compiled) })
    }

    fn is_match(&self, record: &[u8]) -> bool {
        match self {
            Pattern::Literal(finder) => finder.find(record).is_some(),
            Pattern::Regex(regex) | Pattern::RegexOfRecord(regex) => regex.is_match(record),
        }
    }

    fn find_at(&self, block: &[u8], from: usize) -> Option<(usize, usize)> {
        match self {
            Pattern::Literal(finder) => {
                finder.find(&block[from..]).map(|at| (from + at, from + at + finder.needle().len()))
            }
            Pattern::Regex(regex) | Pattern::RegexOfRecord(regex) => {
                regex.find_at(block, from).map(|hit| (hit.start(), hit.end()))
            }
        }
    }
}

pub(crate) fn compile(source: &str, ignore_case: bool, unicode: bool) -> Result<Regex, BadPattern> {
    RegexBuilder::new(source)
        .multi_line(true)
        .case_insensitive(ignore_case)
        .unicode(unicode)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES)
        .build()
        .map_err(|error| explain(source, &error))
}

fn explain(source: &str, error: &regex::Error) -> BadPattern {
    let syntax = regex_syntax::ParserBuilder::new().utf8(false).build().parse(source).err();
    let (reason, position) = match syntax {
        Some(regex_syntax::Error::Parse(e)) => (e.kind().to_string(), Some(e.span().start.offset)),
        Some(regex_syntax::Error::Translate(e)) => (e.kind().to_string(), Some(e.span().start.offset)),
        _ => (error.to_string(), None),
    };
    BadPattern { reason, position }
}

/// Which records pass. A record passes or fails whole; all parts must agree.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Earliest time, inclusive.
    pub since_ns: Option<i64>,
    /// Latest time, exclusive.
    pub until_ns: Option<i64>,
    /// One bit for each [`crate::level::Level`] that passes; 0 means all.
    pub levels: u8,
    /// What its bytes must hold, all of it.
    pub patterns: Vec<Pattern>,
    /// Pass what does *not* hold all patterns.
    pub invert: bool,
}

impl Filter {
    /// Whether a record of this time and level can pass.
    #[inline]
    pub fn passes_stamp(&self, ts: i64, level: u8) -> bool {
        self.since_ns.is_none_or(|since| ts >= since)
            && self.until_ns.is_none_or(|until| ts < until)
            && (self.levels == 0 || self.levels & (1 << level) != 0)
    }
}

/// Lays the hits of a filter's patterns over the records of one block, in order.
pub struct Hits<'b> {
    block: &'b [u8],
    /// For each pattern that was looked for: its first hit from there on.
    next: Vec<Option<(usize, usize)>>,
}

impl<'b> Hits<'b> {
    /// Hits of no pattern yet in `block`.
    pub fn new(block: &'b [u8]) -> Self {
        Hits { block, next: Vec::new() }
    }

    /// Whether the record `start..end` passes; calls must go forward through the block.
    pub fn passes(&mut self, filter: &Filter, start: usize, end: usize) -> bool {
        if filter.patterns.is_empty() {
            return true;
        }
        let holds_all = (0..filter.patterns.len()).all(|number| self.holds(filter, number, start, end));
        holds_all != filter.invert
    }

    fn holds(&mut self, filter: &Filter, number: usize, start: usize, end: usize) -> bool {
        let pattern = &filter.patterns[number];
        let record = &self.block[start..end];
        if let Pattern::RegexOfRecord(_) = pattern {
            return pattern.is_match(record);
        }
        if self.next.len() <= number {
            // Seen as a hit before the record, so that it is looked for now.
            self.next.resize(number + 1, Some((0, 0)));
        }
        let stale = self.next[number].is_some_and(|(at, end)| at < start || (at, end) == (0, 0));
        if stale {
            self.next[number] = pattern.find_at(self.block, start);
        }
        match self.next[number] {
            None => false,
            Some((at, _)) if at > end => false,
            Some((_, stop)) if stop <= end => true,
            // The hit runs on into the next record; a shorter one may lie in this one.
            Some(_) => pattern.is_match(record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(pattern: Pattern, records: &[&str]) -> Vec<bool> {
        let block = records.concat();
        let filter = Filter { patterns: vec![pattern], ..Filter::default() };
        let mut hits = Hits::new(block.as_bytes());
        let mut at = 0;
        let bounds = records.iter().map(|record| {
            (at, {
                at += record.len();
                at
            })
        });
        // As the scanner does: the record without its last newline.
        let bounds: Vec<_> = bounds.map(|(a, b)| (a, b - usize::from(block[a..b].ends_with('\n')))).collect();
        bounds.into_iter().map(|(a, b)| hits.passes(&filter, a, b)).collect()
    }

    #[test]
    fn a_hit_belongs_to_the_record_that_holds_all_of_it() {
        let records = ["one two\n", "two\nthree\n", "\n", "four"];
        let literal = |text: &str| Pattern::literal(text.as_bytes(), false).unwrap();
        let regex = |text: &str| Pattern::regex(text, false).unwrap();
        assert_eq!(which(literal("two"), &records), [true, true, false, false]);
        assert_eq!(which(literal("two\nt"), &records), [false, true, false, false]);
        assert_eq!(which(literal("three\n\nfour"), &records), [false; 4]);
        assert_eq!(which(regex("^t"), &records), [false, true, false, false]);
        assert_eq!(which(regex("two$"), &records), [true, true, false, false]);
        assert_eq!(which(regex(r"(?s)t.*e"), &records), [false, true, false, false]);
        assert_eq!(which(regex("^$"), &records), [false, false, true, false]);
        assert_eq!(which(regex(r"\Atwo"), &records), [false, true, false, false]);
        assert_eq!(which(regex(r"o\s+t|on"), &records), [true, true, false, false]);
        assert_eq!(which(Pattern::literal(b"FOUR", true).unwrap(), &records), [false, false, false, true]);
        assert_eq!(which(literal(""), &records), [true; 4]);
    }

    #[test]
    fn a_bad_expression_says_where() {
        let error = Pattern::regex("ab(c", false).unwrap_err();
        assert_eq!(error.position, Some(2));
        assert!(Pattern::regex(&"\\w{1000}".repeat(50), false).is_err());
    }

    proptest::proptest! {
        #[test]
        fn searching_the_block_equals_searching_each_record(
            records in proptest::collection::vec("[ab\n]{0,6}\n", 1..12),
            pattern in proptest::sample::select(vec!["a", "ab", "^b", "a$", "a\\s*b", "b+", "^$", "(a|b)\\n"]),
        ) {
            let records: Vec<&str> = records.iter().map(String::as_str).collect();
            let pattern = Pattern::regex(pattern, false).unwrap();
            let alone: Vec<bool> = records.iter().map(|r| pattern.is_match(&r.as_bytes()[..r.len() - 1])).collect();
            proptest::prop_assert_eq!(which(pattern, &records), alone);
        }
    }
}
