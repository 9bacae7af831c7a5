//! Where a log says that a group of its lines begins or ends.
//!
//! Holds: nothing; what is found in a block is no larger than the block.
//! Plan:  a block is searched once for the few texts that such lines have, and each hit is looked at closely: a mark
//!        stands where a message begins, and not within one. Nothing is paired here.
//!
//! | mark | of |
//! |---|---|
//! | `::group::TITLE` … `::endgroup::` | GitHub, Airflow |
//! | `##[group]TITLE` … `##[endgroup]` | GitHub's and Azure's logs as they are downloaded |
//! | `section_start:TIME:NAME[…]\r\x1b[0KTITLE` … `section_end:TIME:NAME` | GitLab |
//! | `--- TITLE`, `+++ TITLE`, `~~~ TITLE`, up to the next | Buildkite |

use std::sync::OnceLock;

use regex::bytes::Regex;

/// More of a title is not kept.
pub const TITLE_BYTES: usize = 200;

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A group begins.
    Group,
    /// The innermost group ends.
    EndGroup,
    /// A section with a name begins.
    Section,
    /// The section of that name ends.
    EndSection,
    /// A header: it lasts to the next one.
    Header,
    /// The same, to be shown open.
    OpenHeader,
}

/// A mark in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Number of the record in its batch.
    pub record: u32,
    /// Lines of the record before the one that it is in.
    pub line: u32,
    /// What it says.
    pub kind: Kind,
    /// Whether the title is written as JSON escapes it.
    pub escaped: bool,
    /// Title of a group or header; name, options and title of a section, as written.
    pub title: Vec<u8>,
}

fn candidates() -> &'static Regex {
    static FOUND: OnceLock<Regex> = OnceLock::new();
    let source = r#"(?-u)::group::|::endgroup::|##\[group\]|##\[endgroup\]|section_start:|section_end:|[\n"]--- |[\n"]\+\+\+ |[\n"]~~~ "#;
    FOUND.get_or_init(|| Regex::new(source).unwrap_or_else(|error| unreachable!("{error}")))
}

/// Find marks in the records of one region, given as number, start and end of each, in order.
pub fn find(region: &[u8], records: impl Iterator<Item = (u32, usize, usize)>, signs: &mut Vec<Sign>) {
    let mut hits = candidates().find_iter(region).map(|hit| hit.start()).peekable();
    for (number, start, end) in records {
        let mut add = |at: usize| {
            if let Some((kind, escaped, title)) = parse(region, start, end, at) {
                let line = memchr::memchr_iter(b'\n', &region[start..at]).count();
                signs.push(Sign { record: number, line: line as u32, kind, escaped, title: title.to_vec() });
            }
        };
        // A header's candidate begins with the byte before it, which the first record of a region has not.
        if start == 0 && hits.peek() != Some(&0) {
            add(0);
        }
        while let Some(&hit) = hits.peek() {
            let at = hit + usize::from(matches!(region[hit], b'\n' | b'"'));
            if at >= end {
                break;
            }
            hits.next();
            if at >= start {
                add(at);
            }
        }
    }
}

type Parsed<'r> = (Kind, bool, &'r [u8]);

/// What the mark at `at` says, if it is one.
fn parse(region: &[u8], start: usize, end: usize, at: usize) -> Option<Parsed<'_>> {
    let line_start = memchr::memrchr(b'\n', &region[start..at]).map_or(start, |newline| start + newline + 1);
    let line_end = memchr::memchr(b'\n', &region[at..end]).map_or(end, |newline| at + newline);
    let before = &region[line_start..at];
    let (text, rest) = (&region[at..line_end], before.first() == Some(&b'{'));
    let (kind, length) = kind_of(text)?;
    let header = matches!(kind, Kind::Header | Kind::OpenHeader);
    if !begins_message(before, header) {
        return None;
    }
    let title = title_of(&text[length..], rest);
    let is_diff = header && [&b"a/"[..], b"b/", b"/dev/null"].iter().any(|path| title.starts_with(path));
    let is_empty = header && title.trim_ascii().is_empty();
    (!is_diff && !is_empty).then(|| (kind, rest, &title[..title.len().min(TITLE_BYTES)]))
}

fn kind_of(text: &[u8]) -> Option<(Kind, usize)> {
    const MARKS: [(&[u8], Kind); 9] = [
        (b"::group::", Kind::Group),
        (b"::endgroup::", Kind::EndGroup),
        (b"##[group]", Kind::Group),
        (b"##[endgroup]", Kind::EndGroup),
        (b"section_start:", Kind::Section),
        (b"section_end:", Kind::EndSection),
        (b"--- ", Kind::Header),
        (b"~~~ ", Kind::Header),
        (b"+++ ", Kind::OpenHeader),
    ];
    MARKS.iter().find(|(mark, _)| text.starts_with(mark)).map(|(mark, kind)| (*kind, mark.len()))
}

/// Whether a message begins behind `before`: at the start of a line, of a JSON string, or after a time or the like.
fn begins_message(before: &[u8], header: bool) -> bool {
    let trimmed = before.trim_ascii_end();
    match trimmed.last() {
        None => !header || before.is_empty(),
        Some(b'"') => trimmed.len() == before.len(),
        // `\r` and `\x1b[0K` come before GitLab's end of a section.
        Some(b'K') => before.ends_with(b"\x1b[0K") || before.ends_with(b"\\u001b[0K"),
        Some(b'r') => before.ends_with(b"\\r"),
        Some(last) => {
            let ends_prefix =
                matches!(last, b'-' | b']' | b'Z' | b':' | b'|' | b'0'..=b'9') || ends_with_level(trimmed);
            !header && trimmed.len() < before.len() && ends_prefix
        }
    }
}

fn ends_with_level(text: &[u8]) -> bool {
    const NAMES: [&[u8]; 7] = [b"TRACE", b"DEBUG", b"INFO", b"NOTICE", b"WARN", b"WARNING", b"ERROR"];
    let word = text.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
    NAMES.contains(&word)
}

/// The title up to the end of its line, or of its JSON string.
fn title_of(text: &[u8], escaped: bool) -> &[u8] {
    if !escaped {
        return text.strip_suffix(b"\r").unwrap_or(text);
    }
    let mut is_escape = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'"' if !is_escape => return &text[..at],
            b'\\' => is_escape = !is_escape,
            _ => is_escape = false,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Kind, String)> {
        let mut signs = Vec::new();
        find(text.as_bytes(), [(0, 0, text.len())].into_iter(), &mut signs);
        signs.into_iter().map(|sign| (sign.kind, String::from_utf8(sign.title).unwrap())).collect()
    }

    #[test]
    fn marks_are_found_where_a_message_begins() {
        let title = "T".to_owned();
        for line in [
            "::group::T\n",
            "  ::group::T\r\n",
            "2024-11-20 12:34:56 INFO ::group::T\n",
            "##[group]T",
            "2024-11-20T12:34:56.1234567Z ##[group]T\n",
            "[2024-11-20T12:34:56.123+0000] {local_task_job_runner.py:123} INFO - ::group::T\n",
            "{\"timestamp\":\"2024-11-20T12:34:56Z\",\"event\":\"::group::T\",\"level\":\"info\"}\n",
        ] {
            assert_eq!(found(line), [(Kind::Group, title.clone())], "{line}");
        }
        assert_eq!(found("--- T\n"), [(Kind::Header, title.clone())]);
        assert_eq!(found("{\"event\": \"+++ T\"}\n"), [(Kind::OpenHeader, title)]);
        assert_eq!(found("::endgroup::\n"), [(Kind::EndGroup, String::new())]);
        assert_eq!(
            found("section_start:1560896352:build[collapsed=true]\r\x1b[0KBuild\n"),
            [(Kind::Section, "1560896352:build[collapsed=true]\r\x1b[0KBuild".to_owned())]
        );
        assert_eq!(
            found("\x1b[0Ksection_end:1560896353:build\r\x1b[0K\n"),
            [(Kind::EndSection, "1560896353:build\r\x1b[0K".to_owned())]
        );
        assert_eq!(
            found("section_end:1:a\r\x1b[0Ksection_start:2:b\r\x1b[0KB\n").len(),
            2,
            "GitLab writes an end and a start in one line"
        );
    }

    #[test]
    fn marks_within_a_message_are_text() {
        for line in [
            "+ echo ::group::T\n",
            "std::group::of\n",
            "my ##[group]T\n",
            "a--- T\n",
            "------- T\n",
            "--- a/file\n",
            "+++ b/file\n",
            "--- /dev/null\n",
            "---  \n",
            "INFO - --- T\n",
            "no section_start:1:a\n",
        ] {
            assert_eq!(found(line), [], "{line}");
        }
    }

    #[test]
    fn escaped_titles_end_with_their_string() {
        let line = r#"{"event":"::group::a \"b\" \\","level":"info"}"#;
        assert_eq!(found(line), [(Kind::Group, r#"a \"b\" \\"#.to_owned())]);
        let long = format!("::group::{}\n", "x".repeat(1000));
        assert_eq!(found(&long)[0].1.len(), TITLE_BYTES);
    }

    #[test]
    fn marks_are_laid_over_records() {
        let text = "::group::A\nx\n--- B\ny\n+++ C";
        let mut signs = Vec::new();
        find(text.as_bytes(), [(3, 0, 13), (4, 13, 21), (5, 21, 26)].into_iter(), &mut signs);
        let places: Vec<_> = signs.iter().map(|sign| (sign.record, sign.line, sign.kind)).collect();
        assert_eq!(places, [(3, 0, Kind::Group), (4, 0, Kind::Header), (5, 0, Kind::OpenHeader)]);
        let mut signs = Vec::new();
        find(text.as_bytes(), [(0, 0, text.len())].into_iter(), &mut signs);
        let lines: Vec<_> = signs.iter().map(|sign| sign.line).collect();
        assert_eq!(lines, [0, 2, 4]);
    }
}
