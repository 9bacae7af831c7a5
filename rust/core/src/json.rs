//! Is a line one valid JSON object (RFC 8259), and which time and level does it name?
//!
//! Holds: one bit for each open bracket, at most [`MAX_DEPTH`].
//! Plan:  [`check`] walks a line once, without recursion; strings are skipped 16 bytes at a time.
//!        [`flat`] is the short way for the shape that nearly every line has: an object of plain
//!        strings and scalars without white space or escapes, walked from quote to quote in the
//!        masks of its block. It answers "yes" or "look closer", never "no".
//! Both expect valid UTF-8; that is checked apart, a whole block at once.
//! Not here: building values. Nothing is decoded; text passes through as it was written.

use crate::masks::{Bits, Masks};
use wide::u8x16;

/// Deeper nesting is shown as text: the strictest common readers refuse it from here on.
pub const MAX_DEPTH: u32 = 128;

/// A top-level member that matters to a log: raw bytes of its value, without the quotes of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string without escapes.
    Text(&'a [u8]),
    /// A number.
    Number(&'a [u8]),
    /// A string with escapes.
    Escaped,
    /// Anything else: null, true, an object …
    Other,
}

/// Told of each member of the outermost object: its raw key and its value.
pub trait Visit<'a> {
    /// One member; a key with escapes is not told.
    fn member(&mut self, key: &'a [u8], value: Value<'a>);
}

/// A visitor that only wants to know whether the line is valid.
pub struct Nobody;

impl Visit<'_> for Nobody {
    #[inline(always)]
    fn member(&mut self, _: &[u8], _: Value) {}
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    /// One bit a level: 1 for an object, 0 for an array.
    kinds: u128,
    depth: u32,
}

struct Text {
    start: usize,
    end: usize,
    escaped: bool,
}

/// Whether `line` is exactly one JSON object with optional white space around it.
///
/// The order in which members are told is the order in the line; those told before an error stand.
pub fn check<'a>(line: &'a [u8], visit: &mut impl Visit<'a>) -> bool {
    let mut walk = Walk { text: line, at: 0, kinds: 0, depth: 0 };
    walk.object_line(visit).is_some()
}

impl<'a> Walk<'a> {
    fn object_line(&mut self, visit: &mut impl Visit<'a>) -> Option<()> {
        self.space();
        self.expect(b'{')?;
        self.open(true)?;
        self.space();
        if !self.take(b'}') {
            loop {
                self.member(visit)?;
                self.space();
                if self.take(b',') {
                    self.space();
                } else {
                    self.expect(b'}')?;
                    break;
                }
            }
        }
        self.space();
        (self.at == self.text.len()).then_some(())
    }

    fn member(&mut self, visit: &mut impl Visit<'a>) -> Option<()> {
        let key = self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        let value = self.told_value()?;
        if !key.escaped {
            visit.member(&self.text[key.start..key.end], value);
        }
        Some(())
    }

    fn told_value(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        match self.peek()? {
            b'"' => {
                let text = self.string()?;
                Some(if text.escaped { Value::Escaped } else { Value::Text(&self.text[text.start..text.end]) })
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                Some(Value::Number(&self.text[start..self.at]))
            }
            _ => {
                self.value()?;
                Some(Value::Other)
            }
        }
    }

    /// One value of any depth, told to nobody.
    fn value(&mut self) -> Option<()> {
        let floor = self.depth;
        loop {
            // A value starts here.
            match self.peek()? {
                b'{' => {
                    self.at += 1;
                    self.open(true)?;
                    self.space();
                    if !self.take(b'}') {
                        self.key()?;
                        continue;
                    }
                    self.depth -= 1;
                }
                b'[' => {
                    self.at += 1;
                    self.open(false)?;
                    self.space();
                    if !self.take(b']') {
                        continue;
                    }
                    self.depth -= 1;
                }
                b'"' => {
                    self.string()?;
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // A value has ended here: close what ends with it, or go to the next one.
            loop {
                if self.depth == floor {
                    return Some(());
                }
                self.space();
                let object = self.kinds & (1 << (self.depth - 1)) != 0;
                if self.take(b',') {
                    self.space();
                    if object {
                        self.key()?;
                    }
                    break;
                }
                self.expect(if object { b'}' } else { b']' })?;
                self.depth -= 1;
            }
        }
    }

    fn key(&mut self) -> Option<()> {
        self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        Some(())
    }

    fn open(&mut self, object: bool) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        let bit = 1_u128 << self.depth;
        self.kinds = if object { self.kinds | bit } else { self.kinds & !bit };
        self.depth += 1;
        Some(())
    }

    fn string(&mut self) -> Option<Text> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = self.text.len().min(self.at + plain_run(&self.text[self.at..]));
            match self.peek()? {
                b'"' => {
                    let end = self.at;
                    self.at += 1;
                    return Some(Text { start, end, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        self.at += 1;
        let kind = self.peek()?;
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<()> {
        let length = number_len(&self.text[self.at..])?;
        self.at += length;
        Some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    #[inline(always)]
    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }
}

/// Length of the number at the start of `text`, by the strict grammar of JSON.
fn number_len(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    at += match text.get(at)? {
        b'0' => 1,
        b'1'..=b'9' => digits(at),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = text.get(at..).map_or(0, |_| digits(at));
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}

/// How many bytes at the start of `text` stand for themselves in a JSON string.
#[inline]
pub fn plain_run(text: &[u8]) -> usize {
    let (chunks, rest) = text.as_chunks::<16>();
    for (number, chunk) in chunks.iter().enumerate() {
        let bytes = u8x16::new(*chunk);
        let stop = bytes.simd_eq(u8x16::splat(b'"'))
            | bytes.simd_eq(u8x16::splat(b'\\'))
            | bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
        let bits = stop.to_bitmask();
        if bits != 0 {
            return number * 16 + bits.trailing_zeros() as usize;
        }
    }
    let done = text.len() - rest.len();
    done + rest.iter().take_while(|&&b| b >= 0x20 && b != b'"' && b != b'\\').count()
}

/// The short way for the line `from..to` of `block`: true if it certainly is a valid object.
///
/// Tells the members of the line only as far as it understood them, so the answer false means that
/// they are to be forgotten and [`check`] is to be asked.
#[inline]
pub fn flat<'a>(block: &'a [u8], masks: &Masks, from: usize, to: usize, visit: &mut impl Visit<'a>) -> bool {
    block.get(from) == Some(&b'{') && !masks.any_special(from, to) && {
        let mut quotes = masks.quotes(from);
        flat_members(&block[..to], &mut quotes, from + 1, visit).is_some()
    }
}

/// [`flat`] for a line whose first member, a plain string, is known to end right before `after`.
#[inline]
pub fn flat_after(block: &[u8], masks: &Masks, from: usize, after: usize, to: usize) -> bool {
    let text = &block[..to];
    !masks.any_special(from, to)
        && match text.get(after) {
            Some(b',') => flat_members(text, &mut masks.quotes(after), after + 1, &mut Nobody).is_some(),
            Some(b'}') => after + 1 == to,
            _ => false,
        }
}

/// Walk `"key":value` pairs from `at` to the brace that is the last byte of `text`.
#[inline(always)]
fn flat_members<'a>(text: &'a [u8], quotes: &mut Bits<'_>, mut at: usize, visit: &mut impl Visit<'a>) -> Option<()> {
    loop {
        if quotes.next()? != at {
            return None;
        }
        let key_end = quotes.next()?;
        if *text.get(key_end + 1)? != b':' {
            return None;
        }
        let key = &text[at + 1..key_end];
        let start = key_end + 2;
        let end = if *text.get(start)? == b'"' {
            quotes.next();
            let close = quotes.next()?;
            visit.member(key, Value::Text(text.get(start + 1..close)?));
            close + 1
        } else {
            let (length, value) = scalar(&text[start..])?;
            visit.member(key, value);
            start + length
        };
        match *text.get(end)? {
            b',' => at = end + 1,
            b'}' => return (end + 1 == text.len()).then_some(()),
            _ => return None,
        }
    }
}

#[inline]
fn scalar(text: &[u8]) -> Option<(usize, Value<'_>)> {
    let word = |word: &[u8]| text.starts_with(word).then_some((word.len(), Value::Other));
    match text.first()? {
        b'n' => word(b"null"),
        b't' => word(b"true"),
        b'f' => word(b"false"),
        _ => number_len(text).map(|length| (length, Value::Number(&text[..length]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(line: &[u8]) -> bool {
        let whole = check(line, &mut Nobody);
        let mut masks = Masks::default();
        masks.fill(line, true);
        let short = flat(line, &masks, 0, line.len(), &mut Nobody);
        assert!(whole || !short, "flat said yes to {:?}", String::from_utf8_lossy(line));
        whole
    }

    #[test]
    fn valid_objects_are_told_from_everything_else() {
        for line in [
            "{}",
            " { } ",
            r#"{"a":1}"#,
            r#"{"a":"b"}"#,
            "{\"a\":\"b\"}\r",
            r#"{"a":[1,2,{"b":[]}],"c":{}}"#,
            r#"{"a":-0.5e+10,"b":0,"c":1E400,"d":true,"e":false,"f":null}"#,
            r#"{"a":"\u00e9\n\/\\\""}"#,
            r#"{"a":1,"a":2}"#,
            "{\"a\":\"\u{2028}é\"}",
            r#"{"":""}"#,
            "{\t\"a\" : [ ] , \"b\" : { } }",
        ] {
            assert!(valid(line.as_bytes()), "{line}");
        }
        for line in [
            "",
            "{",
            "}",
            "null",
            "[]",
            "1",
            r#""a""#,
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "{,}",
            "{a:1}",
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":+1}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":tru}"#,
            r#"{"a":truex}"#,
            r#"{"a":"b"#,
            r#"{"a":"b}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12g4"}"#,
            "{\"a\":\"\t\"}",
            r#"{"a":1} {"b":2}"#,
            r#"{"a":1}x"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[1}"#,
            r#"{"a":{]}"#,
            r#"{"a":"b" "c":1}"#,
            r#"{"a":NaN}"#,
            "{'a':1}",
            "{\"a\":\"\u{0}\"}",
            r#"{"a":"b",}"#,
            r#"{"a":"b"}}"#,
            r#"{"a":1"b":2}"#,
            r#"{"a":"b""c":"d"}"#,
            r#"{"a""b":"c"}"#,
            r#"{"a":"b",c"}"#,
            "{\"a\":1e5",
        ] {
            assert!(!valid(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(valid(nested(127).as_bytes()));
        assert!(!valid(nested(128).as_bytes()));
        assert!(!valid(nested(100_000).as_bytes()));
    }

    struct Seen(Vec<String>);

    impl<'a> Visit<'a> for Seen {
        fn member(&mut self, key: &'a [u8], value: Value<'a>) {
            let value = match value {
                Value::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
                Value::Number(text) => String::from_utf8_lossy(text).into_owned(),
                Value::Escaped | Value::Other => "?".into(),
            };
            self.0.push(format!("{}={value}", String::from_utf8_lossy(key)));
        }
    }

    #[test]
    fn only_members_of_the_outermost_object_are_told() {
        let line = br#"{"a":"x","b":{"a":1,"c":[{"d":2}]},"e":3.5,"f":"\n","g\u0041":1,"h":null}"#;
        let mut seen = Seen(vec![]);
        assert!(check(line, &mut seen));
        assert_eq!(seen.0, ["a='x'", "b=?", "e=3.5", "f=?", "h=?"]);
    }

    #[test]
    fn the_short_way_tells_the_same_members() {
        let line = br#"{"timestamp":"2024","level":"info","n":-1.5,"ok":true,"none":null,"":""}"#;
        let mut masks = Masks::default();
        masks.fill(line, true);
        let (mut short, mut long) = (Seen(vec![]), Seen(vec![]));
        assert!(flat(line, &masks, 0, line.len(), &mut short));
        assert!(check(line, &mut long));
        assert_eq!(short.0, long.0);
    }

    proptest::proptest! {
        #[test]
        fn any_text_of_json_bytes_gets_one_answer(line in r#"[\{\}\[\]",:0-9a-e\\ \.\-n]{0,40}"#) {
            valid(line.as_bytes());
        }

        #[test]
        fn any_bytes_never_panic(line: Vec<u8>) {
            check(&line, &mut Nobody);
        }
    }
}
