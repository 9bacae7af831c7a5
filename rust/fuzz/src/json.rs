//! JSON: the same verdict as `serde_json`, and text that comes back from its escaped form.

use logflume_core::json::{check as core_check, flat, Nobody, MAX_DEPTH};
use logflume_core::masks::Masks;
use logflume_core::render;

use super::is_object;

/// Any bytes, as a line that may be JSON and as text to be escaped.
pub fn check(data: &[u8]) {
    verdicts_agree(data);
    text_comes_back(data);
}

fn verdicts_agree(line: &[u8]) {
    let ours = core_check(line, &mut Nobody);
    if !line.contains(&b'\n') {
        let mut masks = Masks::default();
        masks.fill(line, true);
        let short = flat(line, &masks, 0, line.len(), &mut Nobody);
        assert!(ours || !short, "the short way says yes, the long one no");
    }
    if std::str::from_utf8(line).is_ok() {
        let theirs = is_object(line) && depth(line) <= MAX_DEPTH;
        assert_eq!(ours, theirs, "serde_json says {theirs}");
    }
}

/// The deepest nesting of a valid line.
fn depth(line: &[u8]) -> u32 {
    let (mut now, mut deepest, mut in_text, mut escaped) = (0_u32, 0, false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => now += 1,
            b'}' | b']' if !in_text => now = now.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(now);
    }
    deepest
}

fn text_comes_back(text: &[u8]) {
    let mut escaped = vec![b'"'];
    render::escape(text, &mut escaped);
    escaped.push(b'"');
    let read: String = serde_json::from_slice(&escaped).expect("an escaped text is a JSON string");
    assert_eq!(read, String::from_utf8_lossy(text));
}
