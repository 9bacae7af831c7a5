//! Filters: a block searched as a whole passes the records that pass when each is searched alone.

use logflume_core::filter::{Filter, Hits, Pattern};

/// One byte of options; two patterns, each on a line of its own; then records: a line, and the indented ones after it.
pub fn check(data: &[u8]) {
    let [options, rest @ ..] = data else { return };
    let mut parts = rest.splitn(3, |&byte| byte == b'\n');
    let (first, second, block) = (parts.next(), parts.next(), parts.next().unwrap_or(b""));
    let patterns = [(first, options & 1), (second.filter(|_| options & 2 != 0), options & 4)];
    let patterns = patterns.into_iter().filter_map(|(bytes, literal)| pattern(bytes?, literal != 0, options & 8 != 0));
    let filter = Filter { patterns: patterns.collect(), invert: options & 16 != 0, ..Filter::default() };
    let mut hits = Hits::new(block);
    let mut start = 0;
    while start < block.len() {
        let end = end_of_record(block, start);
        let alone = Hits::new(&block[start..end]).passes(&filter, 0, end - start);
        let text = String::from_utf8_lossy(&block[start..end]);
        assert_eq!(hits.passes(&filter, start, end), alone, "the record {text:?}");
        start = end + 1;
    }
}

/// Where the newline of the record is that begins at `start`.
fn end_of_record(block: &[u8], start: usize) -> usize {
    let newlines = (start..block.len()).filter(|&at| block[at] == b'\n');
    newlines.into_iter().find(|at| block.get(at + 1) != Some(&b' ')).unwrap_or(block.len())
}

fn pattern(bytes: &[u8], literal: bool, ignore_case: bool) -> Option<Pattern> {
    if literal {
        return Pattern::literal(bytes, ignore_case).ok();
    }
    let source = std::str::from_utf8(bytes).ok()?;
    match Pattern::regex(source, ignore_case) {
        Ok(pattern) => Some(pattern),
        Err(bad) => {
            assert!(bad.position.is_none_or(|at| source.is_char_boundary(at)), "{bad:?} of {source:?}");
            None
        }
    }
}
