//! Index entries: damaged ones are refused, and what is taken can be searched, stored and read again.

use logflume_core::index::Index;

/// One byte for the number of sources, two for what is asked; then entries.
pub fn check(data: &[u8]) {
    let [sources, line, ts, encoded @ ..] = data else { return };
    let sources = usize::from(sources % 5);
    let (line, ts) = (u64::from(*line), i64::from(*ts));
    let mut index = Index::new(sources);
    let whole = index.extend(encoded).is_ok();
    searches_agree(&index, line, ts);
    let mut again = Index::new(sources);
    again.extend(index.encoded()).expect("what an index gives can be read");
    assert_eq!((again.entries(), again.last()), (index.entries(), index.last()));
    if whole {
        // Two stretches give what one gives, wherever an entry ends.
        index.extend(encoded).ok();
    }
    index.resume_before(ts);
    index.extend(encoded).ok();
    searches_agree(&index, line, ts);
}

fn searches_agree(index: &Index, line: u64, ts: i64) {
    let here = index.at_line(line);
    assert!(here.lines <= line);
    if let Some(next) = index.after_line(line) {
        assert!(next.lines > line && next.lines >= here.lines);
    }
    assert!(here.lines <= index.last().lines);
    let before = index.before_time(ts);
    assert!(before.records == 0 || before.ts < ts);
    for mask in 0..64 {
        assert!(index.at_count(mask, line).of_levels(mask) <= line);
    }
    assert_eq!(index.at_line(u64::MAX), *index.last());
}
