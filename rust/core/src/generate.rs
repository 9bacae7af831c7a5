//! Deterministic logs for demos, tests and benchmarks: the same plan gives the same bytes, for ever.
//!
//! Holds: nothing but one cursor a source; line `i` is a pure function of (plan, `i`).
//! Plan:  a log is `lines` numbered lines. A hash of (seed, `i`) says who owns line `i`, when it
//!        was written and what it says; each source walks `i` upwards and takes what is its own, so
//!        that sources can be made one after the other, or at once, without knowing of each other.
//!
//! What a test can rely on: each source is sorted; every message carries its line number, so no two
//! records are alike; merged with dedup, the log has `lines` lines in the order 0, 1, 2, … (where
//! the format shows whole micros and nothing ties); one record in 2,000 is an error; the needle stands at
//! `NEEDLE_FIRST` and every `NEEDLE_EVERY` lines after.
//! Not here: files, clocks, threads.

use std::fmt;

use jiff::Timestamp;

/// The literal that a search benchmark looks for.
pub const NEEDLE: &str = "needle-7f3a";
/// The first line that holds the needle.
pub const NEEDLE_FIRST: u64 = 2_000;
/// From one line with the needle to the next.
pub const NEEDLE_EVERY: u64 = 1_000_000;

/// Most sources a plan may have.
pub const MAX_SOURCES: usize = 1 << 16;
/// Most lines a plan may have.
pub const MAX_LINES: u64 = 1 << 40;
/// Latest start, in the year 2200: no line is later than what 64 bits of nanoseconds can say.
pub const MAX_START_US: u64 = 7_258_118_400_000_000;

/// Lines a second: one each `SLOT_US`, at a random place within it, so steps are 1 to 799 us.
const SLOT_US: u64 = 400;
/// One error record in each window of so many lines. Divides `NEEDLE_FIRST` and `NEEDLE_EVERY`.
const WINDOW_LINES: u64 = 2_000;
/// Most lines of an error record.
const ERROR_LINES: u64 = 11;
/// Lines of a burst, in `Pattern::Runs`.
const RUN_LINES: u64 = 1_000;
/// How many times the lines of any other source the first has, in `Pattern::Skewed`.
const SKEW: u64 = 10;
/// Beyond so many sources, a line's number alone rules out most of them: see `Generator::pools`.
const POOL_SOURCES: u64 = 32;
/// Most lines that share one time, however high `Plan::ties`.
const TIE_LINES: u64 = 64;

/// How long the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Distinct lines, exactly; copies come on top.
    Lines(u64),
    /// Bytes of all sources with their copies, within 1 % from a few megabytes on.
    Bytes(u64),
}

/// Which source a line goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// A random one: with three sources a run of one source is 1.5 lines long.
    Interleaved,
    /// Bursts of 1,000 lines, one source after the other, again and again.
    Runs,
    /// One source after the other, once.
    Disjoint,
    /// A random one, where the first source has ten times the lines of any other.
    Skewed,
    /// A random one, but the last source has nothing before the others have half of their lines.
    LateStart,
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Airflow 3: compact JSON, micros.
    Json,
    /// Airflow 2: bracketed time, millis; an error is followed by its traceback.
    Plain,
    /// What a container runtime writes: nanos, stream, tag, message.
    Kubernetes,
}

/// What to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How long the log is.
    pub size: Size,
    /// Number of sources.
    pub sources: usize,
    /// Which source a line goes to.
    pub pattern: Pattern,
    /// What a line looks like.
    pub format: Format,
    /// Fraction of records that stand in another source too, byte for byte.
    pub duplicates: f64,
    /// Fraction of records that have the time of the line before them.
    pub ties: f64,
    /// Another seed gives another log.
    pub seed: u64,
    /// Time before the first line, micros since 1970.
    pub start_us: u64,
}

impl Default for Plan {
    /// The seed-like log: 8,670,000 lines, 830 MB, three interleaved sources of JSON.
    fn default() -> Self {
        Self {
            size: Size::Lines(8_670_000),
            sources: 3,
            pattern: Pattern::Interleaved,
            format: Format::Json,
            duplicates: 0.0,
            ties: 0.0,
            seed: 0,
            start_us: 1_732_106_096_000_000, // 2024-11-20T12:34:56Z
        }
    }
}

/// A plan that cannot be carried out; the text says which part and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPlan(String);

impl fmt::Display for BadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadPlan {}

/// Gives the lines of each source of one plan, in blocks.
#[derive(Debug)]
pub struct Generator {
    pattern: Pattern,
    format: Format,
    lines: u64,
    expected_bytes: u64,
    sources: u64,
    /// Source `s` owns lines of number ≡ s (mod `pools`) only, in `Pattern::Interleaved`.
    pools: u64,
    /// First line that the last source may own, in `Pattern::LateStart`.
    late_line: u64,
    /// Of 65,536 records, how many have a copy, and how many tie.
    copied: u64,
    tied: u64,
    key: u64,
    start_us: u64,
    cursors: Vec<Cursor>,
}

/// How far one source has got.
#[derive(Debug, Clone)]
struct Cursor {
    line: u64,
    error: ErrorRecord,
    clock: Clock,
}

/// Where the error record of a window stands: lines `start..end`.
#[derive(Debug, Clone, Copy)]
struct ErrorRecord {
    window: u64,
    start: u64,
    end: u64,
}

/// The text of the second that was written last: it changes once in thousands of lines.
#[derive(Debug, Clone, Default)]
struct Clock {
    second: u64,
    text: String,
}

/// Everything that is random about one line.
#[derive(Clone, Copy)]
struct Dice(u64);

impl Generator {
    /// Check the plan and stand before the first line of each source.
    ///
    /// # Errors
    /// A part of the plan is out of its range.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn new(plan: &Plan) -> Result<Self, BadPlan> {
        check(plan)?;
        let lines = match plan.size {
            Size::Lines(lines) => lines,
            Size::Bytes(bytes) => lines_for(bytes, plan),
        };
        let sources = plan.sources as u64;
        let clock = Clock { second: u64::MAX, text: String::new() };
        let error = ErrorRecord { window: u64::MAX, start: 0, end: 0 };
        Ok(Self {
            pattern: plan.pattern,
            format: plan.format,
            lines,
            expected_bytes: (lines as f64 * mean_line_bytes(lines as f64, plan)) as u64,
            sources,
            pools: sources.div_ceil(POOL_SOURCES),
            late_line: lines * (sources - 1) / (2 * sources - 1),
            copied: if sources > 1 { of_65536(plan.duplicates) } else { 0 },
            tied: of_65536(plan.ties),
            key: mix(plan.seed.wrapping_add(1)),
            start_us: plan.start_us,
            cursors: vec![Cursor { line: 0, error, clock }; plan.sources],
        })
    }

    /// Distinct lines of the log.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Bytes of all sources, within 1 % from a few megabytes on: enough for a progress bar.
    #[must_use]
    pub fn expected_bytes(&self) -> u64 {
        self.expected_bytes
    }

    /// Replace `out` by the next whole records of one source: at most `max_bytes`, or one longer record.
    ///
    /// False, and `out` empty, when the source has given everything.
    ///
    /// # Panics
    /// When there is no such source.
    pub fn next_block(&mut self, source: usize, max_bytes: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        let mut cursor = self.cursors[source].clone();
        let number = source as u64;
        loop {
            cursor.line = self.seek(number, cursor.line);
            if cursor.line >= self.lines {
                break;
            }
            if self.belongs(number, &mut cursor) {
                let before = out.len();
                self.write_record(&mut cursor, out);
                if out.len() > max_bytes && before > 0 {
                    out.truncate(before);
                    break;
                }
            }
            cursor.line += 1;
        }
        self.cursors[source] = cursor;
        !out.is_empty()
    }

    /// The first line from `line` on that can be one of this source's.
    fn seek(&self, source: u64, line: u64) -> u64 {
        if self.copied > 0 {
            return line;
        }
        match self.pattern {
            Pattern::Interleaved if self.pools > 1 => {
                let ahead = (source % self.pools + self.pools - line % self.pools) % self.pools;
                line + ahead
            }
            Pattern::Runs => {
                let run = line / RUN_LINES;
                let ahead = (source + self.sources - run % self.sources) % self.sources;
                line.max((run + ahead) * RUN_LINES)
            }
            Pattern::Disjoint => {
                let first = |source: u64| (source * self.lines).div_ceil(self.sources);
                if line < first(source + 1) {
                    line.max(first(source))
                } else {
                    self.lines
                }
            }
            _ => line,
        }
    }

    /// Whether a record of this source begins at the cursor.
    fn belongs(&self, source: u64, cursor: &mut Cursor) -> bool {
        let line = cursor.line;
        if cursor.error.window != line / WINDOW_LINES {
            cursor.error = self.error_record(line / WINDOW_LINES);
        }
        if cursor.error.start < line && line < cursor.error.end {
            return false;
        }
        let dice = self.dice(line);
        let owner = self.owner(line, dice);
        owner == source || (self.copied > 0 && self.copy(line, owner, dice.again()) == Some(source))
    }

    /// The source that owns a line.
    fn owner(&self, line: u64, dice: Dice) -> u64 {
        match self.pattern {
            Pattern::Interleaved if self.pools > 1 => {
                let pool = line % self.pools;
                pool + self.pools * dice.below((self.sources - pool).div_ceil(self.pools))
            }
            Pattern::Interleaved => dice.below(self.sources),
            Pattern::Runs => line / RUN_LINES % self.sources,
            Pattern::Disjoint => line * self.sources / self.lines,
            Pattern::Skewed => dice.below(self.sources - 1 + SKEW).saturating_sub(SKEW - 1),
            Pattern::LateStart => dice.below(self.started(line)),
        }
    }

    /// The other source that has a copy of this line, if there is one.
    fn copy(&self, line: u64, owner: u64, dice: Dice) -> Option<u64> {
        let started = self.started(line);
        (dice.bits(32) < self.copied && started > 1).then(|| (owner + 1 + dice.bits(48) % (started - 1)) % started)
    }

    /// Sources `0..n` that can have this line.
    fn started(&self, line: u64) -> u64 {
        let late = self.pattern == Pattern::LateStart && line < self.late_line;
        self.sources - u64::from(late)
    }

    fn dice(&self, line: u64) -> Dice {
        Dice(mix(self.key.wrapping_add(line.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }

    /// An error record never stands first in its window, where a needle may be, and never leaves it.
    fn error_record(&self, window: u64) -> ErrorRecord {
        let dice = self.dice(!window);
        let start = window * WINDOW_LINES + 1 + dice.below(WINDOW_LINES - 1 - ERROR_LINES);
        let lines = match self.format {
            // The error itself, the first and last line of a traceback, and one to four frames.
            Format::Plain => 3 + 2 * (1 + dice.share(0, 4)),
            Format::Json | Format::Kubernetes => 1,
        };
        ErrorRecord { window, start, end: (start + lines).min(self.lines) }
    }

    /// The line whose time this line shares; itself, mostly.
    fn tied_to(&self, mut line: u64) -> u64 {
        if self.tied > 0 {
            while !line.is_multiple_of(TIE_LINES) && self.dice(line).bits(0) < self.tied {
                line -= 1;
            }
        }
        line
    }

    fn time_ns(&self, line: u64) -> u64 {
        let line = self.tied_to(line);
        let dice = self.dice(line);
        let us = self.start_us + line * SLOT_US + dice.again().share(0, SLOT_US);
        us * 1_000 + dice.share(16, 1_000)
    }

    fn write_record(&self, cursor: &mut Cursor, out: &mut Vec<u8>) {
        let line = cursor.line;
        let message = Message::of(line, line == cursor.error.start, self.dice(line).again());
        let time_ns = self.time_ns(line);
        cursor.clock.set(time_ns / 1_000_000_000);
        let second = cursor.clock.text.as_bytes();
        match self.format {
            Format::Json => message.write_json(second, time_ns, out),
            Format::Plain => message.write_plain(second, time_ns, out),
            Format::Kubernetes => message.write_kubernetes(second, time_ns, out),
        }
        if self.format == Format::Plain && message.level == Level::Error {
            write_traceback(line, cursor.error.end - line - 1, out);
        }
    }
}

fn check(plan: &Plan) -> Result<(), BadPlan> {
    let bad = |text: String| Err(BadPlan(text));
    if !(1..=MAX_SOURCES).contains(&plan.sources) {
        return bad(format!("sources must be 1 to {MAX_SOURCES}, not {}", plan.sources));
    }
    if let Size::Lines(n @ MAX_LINES..) | Size::Bytes(n @ MAX_LINES..) = plan.size {
        return bad(format!("a size must be below {MAX_LINES} lines or bytes, not {n}"));
    }
    for (name, share) in [("duplicates", plan.duplicates), ("ties", plan.ties)] {
        if !(0.0..=1.0).contains(&share) {
            return bad(format!("{name} must be 0 to 1, not {share}"));
        }
    }
    if plan.start_us > MAX_START_US {
        return bad(format!("start_us must be at most {MAX_START_US}, not {}", plan.start_us));
    }
    Ok(())
}

/// How many lines make so many bytes.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn lines_for(bytes: u64, plan: &Plan) -> u64 {
    let mut lines = bytes as f64 / 100.0;
    for _ in 0..4 {
        lines = bytes as f64 / mean_line_bytes(lines, plan);
    }
    lines as u64
}

/// What a line takes on average, in all sources that have it, when there are `lines` of them.
fn mean_line_bytes(lines: f64, plan: &Plan) -> f64 {
    let copies = if plan.sources > 1 { plan.duplicates } else { 0.0 };
    (plan.format.mean_bytes_beside_number() + mean_digits(lines)) * (1.0 + copies)
}

/// Digits of a number below `n`, on average.
fn mean_digits(n: f64) -> f64 {
    let longer = |power| (1.0 - 10_f64.powi(power) / n).max(0.0);
    1.0 + (1..13).map(longer).sum::<f64>()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn of_65536(share: f64) -> u64 {
    (share * 65_536.0) as u64
}

/// The finalizer of splitmix64: every bit of the answer depends on every bit of `x`.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Dice {
    /// Fresh bits for the same line.
    fn again(self) -> Self {
        Self(mix(self.0 ^ 0x6a09_e667_f3bc_c909))
    }

    /// 16 bits, from bit `shift` on.
    fn bits(self, shift: u32) -> u64 {
        (self.0 >> shift) & 0xffff
    }

    /// A number in `0..n` made of those 16 bits.
    fn share(self, shift: u32, n: u64) -> u64 {
        (self.bits(shift) * n) >> 16
    }

    /// A number in `0..n` made of the upper 32 bits.
    fn below(self, n: u64) -> u64 {
        ((self.0 >> 32) * n) >> 32
    }
}

impl Clock {
    fn set(&mut self, second: u64) {
        if self.second != second {
            self.second = second;
            let second = i64::try_from(second).unwrap_or(i64::MAX);
            self.text = Timestamp::from_second(second).unwrap_or(Timestamp::MAX).to_string();
            self.text.pop(); // the Z comes after the fraction
            self.text.push('.');
        }
    }
}

impl Format {
    /// What an average line takes, but for the digits of its own number.
    fn mean_bytes_beside_number(self) -> f64 {
        match self {
            Self::Json => 89.09,
            Self::Plain => 67.89,
            Self::Kubernetes => 59.10,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

impl Level {
    fn lower(self) -> &'static [u8] {
        match self {
            Self::Debug => b"debug",
            Self::Info => b"info",
            Self::Warning => b"warning",
            Self::Error => b"error",
        }
    }

    fn upper(self) -> &'static [u8] {
        match self {
            Self::Debug => b"DEBUG",
            Self::Info => b"INFO",
            Self::Warning => b"WARNING",
            Self::Error => b"ERROR",
        }
    }
}

/// What one line says: `before`, its number, `after`.
struct Message {
    line: u64,
    level: Level,
    words: &'static Words,
    logger: &'static [u8],
}

struct Words {
    place: &'static str,
    before: &'static str,
    after: &'static str,
    /// Whether the number stands in quotation marks, which JSON has to escape.
    quoted: bool,
}

const fn words(place: &'static str, before: &'static str, after: &'static str) -> Words {
    Words { place, before, after, quoted: false }
}

static INFO: [Words; 16] = [
    words("load.py:88", "row ", " ok"),
    words("load.py:88", "row ", " ok"),
    words("load.py:91", "row ", " loaded"),
    words("load.py:91", "row ", " loaded"),
    words("load.py:95", "row ", " skipped: empty"),
    words("load.py:102", "batch ", " sent"),
    words("extract.py:41", "page ", ""),
    words("extract.py:41", "page ", ""),
    words("extract.py:57", "GET /api/orders/", " 200"),
    words("extract.py:63", "part-", ".parquet read"),
    words("transform.py:17", "step ", " done"),
    words("transform.py:23", "step ", " took 31 ms"),
    words("transform.py:29", "città n. ", " → ok"),
    words("logging_mixin.py:190", "", ""),
    words("logging_mixin.py:190", "progress: ", " rows"),
    Words { place: "store.py:204", before: "order ", after: " is paid", quoted: true },
];
static DEBUG: [Words; 2] =
    [words("cache.py:12", "cache miss for key ", ""), words("cache.py:20", "evicted ", " after 300 s")];
static WARNING: [Words; 2] = [
    words("retry.py:33", "slow answer for row ", ", will retry"),
    words("retry.py:48", "row ", " has no currency, EUR is assumed"),
];
static ERROR: Words = words("taskinstance.py:3312", "Task failed at row ", " with exception");
static FOUND: Words = words("audit.py:5", "needle-7f3a in row ", "");

impl Message {
    fn of(line: u64, is_error: bool, dice: Dice) -> Self {
        let logger: &[u8] = if dice.bits(16).is_multiple_of(4) { b",\"logger\":\"task.stdout\"" } else { b"" };
        let pick = usize::try_from(dice.share(16, 16)).unwrap_or(0);
        let (level, words) = match dice.share(48, 256) {
            _ if is_error => (Level::Error, &ERROR),
            _ if line % NEEDLE_EVERY == NEEDLE_FIRST => (Level::Info, &FOUND),
            0..16 => (Level::Debug, &DEBUG[pick % 2]),
            16..24 => (Level::Warning, &WARNING[pick % 2]),
            _ => (Level::Info, &INFO[pick]),
        };
        Self { line, level, words, logger }
    }

    fn write_text(&self, quote: &[u8], out: &mut Vec<u8>) {
        let quote = if self.words.quoted { quote } else { b"" };
        out.extend_from_slice(self.words.before.as_bytes());
        out.extend_from_slice(quote);
        push_number(self.line, out);
        out.extend_from_slice(quote);
        out.extend_from_slice(self.words.after.as_bytes());
    }

    fn write_json(&self, second: &[u8], time_ns: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"timestamp\":\"");
        out.extend_from_slice(second);
        push_padded::<6>(time_ns / 1_000, out);
        out.extend_from_slice(b"Z\",\"level\":\"");
        out.extend_from_slice(self.level.lower());
        out.extend_from_slice(b"\",\"event\":\"");
        self.write_text(b"\\\"", out);
        out.push(b'"');
        out.extend_from_slice(self.logger);
        if self.level == Level::Error {
            out.extend_from_slice(b",\"error_detail\":[{\"exc_type\":\"KeyError\",\"exc_value\":\"'");
            push_number(self.line, out);
            out.extend_from_slice(
                b"'\",\"syntax_error\":null,\"is_cause\":false,\"frames\":[{\"filename\":\"/opt/airflow/dags/load.py\",\
                  \"lineno\":42,\"name\":\"load\"},{\"filename\":\"/opt/airflow/dags/store.py\",\"lineno\":204,\
                  \"name\":\"store_row\"}]}]",
            );
        }
        out.extend_from_slice(b"}\n");
    }

    fn write_plain(&self, second: &[u8], time_ns: u64, out: &mut Vec<u8>) {
        out.push(b'[');
        out.extend_from_slice(second);
        push_padded::<3>(time_ns / 1_000_000, out);
        out.extend_from_slice(b"+0000] {");
        out.extend_from_slice(self.words.place.as_bytes());
        out.extend_from_slice(b"} ");
        out.extend_from_slice(self.level.upper());
        out.extend_from_slice(b" - ");
        self.write_text(b"\"", out);
        out.push(b'\n');
    }

    fn write_kubernetes(&self, second: &[u8], time_ns: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(second);
        push_padded::<9>(time_ns, out);
        let stream: &[u8] = if self.level == Level::Error { b"Z stderr F " } else { b"Z stdout F " };
        out.extend_from_slice(stream);
        out.extend_from_slice(self.level.upper());
        out.push(b' ');
        self.write_text(b"\"", out);
        out.push(b'\n');
    }
}

/// Write a Python traceback of so many lines (an even number of them between its first and last).
fn write_traceback(line: u64, lines: u64, out: &mut Vec<u8>) {
    for at in 0..lines {
        let text: &[u8] = match at {
            0 => b"Traceback (most recent call last):\n",
            _ if at + 1 == lines => break,
            _ if at % 2 == 1 => b"  File \"/opt/airflow/dags/load.py\", line 42, in load\n",
            _ => b"    store(rows[key])\n",
        };
        out.extend_from_slice(text);
    }
    if lines > 1 {
        out.extend_from_slice(b"KeyError: '");
        push_number(line, out);
        out.extend_from_slice(b"'\n");
    }
}

/// The last `DIGITS` digits of a number.
fn push_padded<const DIGITS: usize>(mut n: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + low_digit(n);
        n /= 10;
    }
    out.extend_from_slice(&digits);
}

fn push_number(mut n: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    digits[first] += low_digit(n);
    while n >= 10 {
        n /= 10;
        first -= 1;
        digits[first] += low_digit(n);
    }
    out.extend_from_slice(&digits[first..]);
}

#[allow(clippy::cast_possible_truncation)]
fn low_digit(n: u64) -> u8 {
    (n % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: [Format; 3] = [Format::Json, Format::Plain, Format::Kubernetes];
    const PATTERNS: [Pattern; 5] =
        [Pattern::Interleaved, Pattern::Runs, Pattern::Disjoint, Pattern::Skewed, Pattern::LateStart];

    fn plan(lines: u64) -> Plan {
        Plan { size: Size::Lines(lines), ..Plan::default() }
    }

    /// All sources, in blocks of a size.
    fn files(plan: &Plan, max_bytes: usize) -> Vec<Vec<u8>> {
        let mut generator = Generator::new(plan).unwrap();
        let mut block = Vec::new();
        let mut file = |source| {
            let mut file = Vec::new();
            while generator.next_block(source, max_bytes, &mut block) {
                file.extend_from_slice(&block);
            }
            file
        };
        (0..plan.sources).map(&mut file).collect()
    }

    fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
        file.split_inclusive(|&byte| byte == b'\n')
    }

    /// The lines of all sources, sorted by bytes; JSON sorts by time like that.
    fn sorted(files: &[Vec<u8>]) -> Vec<&[u8]> {
        let mut all: Vec<_> = files.iter().flat_map(|file| lines(file)).collect();
        all.sort_unstable();
        all
    }

    /// FNV-1a.
    fn digest<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
        bytes
            .into_iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    fn number_in(json: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(json);
        let event = text.split("\"event\":\"").nth(1).unwrap();
        let event = event.replace("needle-7f3a", "");
        let digits = event.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    }

    #[test]
    fn the_default_log_never_changes() {
        let mut generator = Generator::new(&Plan::default()).unwrap();
        let mut block = Vec::new();
        let digests = [0, 1, 2].map(|source| {
            generator.next_block(source, 65_536, &mut block);
            digest(&block)
        });
        assert_eq!(digests, [0x7cd3_c4e6_f73a_d146, 0x8e5f_86fc_ac22_c5a5, 0xeb20_0912_2f79_e140]);
    }

    #[test]
    fn no_format_or_pattern_ever_changes() {
        let mut all = Vec::new();
        for format in FORMATS {
            for pattern in PATTERNS {
                let (sources, duplicates, ties) = (40, 0.1, 0.1);
                let plan = Plan { sources, pattern, format, duplicates, ties, ..plan(10_000) };
                all.extend(files(&plan, 4096).concat());
            }
        }
        assert_eq!(digest(&all), 0x16e8_8bea_d47c_397c);
    }

    #[test]
    fn the_default_log_has_the_size_of_the_seed() {
        let mut generator = Generator::new(&Plan::default()).unwrap();
        let mut block = Vec::new();
        let (mut bytes, mut count) = (0, 0);
        for source in 0..3 {
            generator.cursors[source].line = 4_000_000; // seven digits, like most
            for _ in 0..30 {
                generator.next_block(source, 65_536, &mut block);
                count += lines(&block).count();
                bytes += block.len();
            }
        }
        let total = bytes * 8_670_000 / count;
        assert!((822_000_000..838_000_000).contains(&total), "{total}");
    }

    #[test]
    fn blocks_of_any_size_make_the_same_log() {
        for format in FORMATS {
            let plan = Plan { format, duplicates: 0.2, ..plan(5_000) };
            assert_eq!(files(&plan, 1), files(&plan, 100_000));
        }
    }

    #[test]
    fn merged_lines_are_numbered_without_a_gap() {
        for pattern in PATTERNS {
            for (sources, duplicates) in [(1, 0.5), (3, 0.0), (3, 0.3), (100, 0.0), (100, 0.3)] {
                let plan = Plan { sources, pattern, duplicates, ..plan(12_345) };
                let files = files(&plan, 10_000);
                let mut merged = sorted(&files);
                merged.dedup();
                let numbers: Vec<_> = merged.into_iter().map(number_in).collect();
                assert_eq!(numbers, (0..12_345).collect::<Vec<_>>(), "{pattern:?} {sources} {duplicates}");
            }
        }
    }

    #[test]
    fn every_source_is_sorted() {
        for pattern in PATTERNS {
            for file in files(&Plan { pattern, duplicates: 0.3, ..plan(10_000) }, 10_000) {
                assert!(lines(&file).is_sorted_by(|a, b| a < b), "{pattern:?}");
            }
        }
    }

    #[test]
    fn the_share_of_copies_is_kept() {
        let files = files(&Plan { duplicates: 0.25, ..plan(100_000) }, 100_000);
        let total: usize = files.iter().map(|file| lines(file).count()).sum();
        assert!((124_000..126_000).contains(&total), "{total}");
    }

    #[test]
    fn the_share_of_ties_is_kept() {
        for format in [Format::Json, Format::Kubernetes] {
            let files = files(&Plan { ties: 0.4, format, ..plan(100_000) }, 100_000);
            let until_zone = |line: &&[u8]| line[..line.iter().position(|&byte| byte == b'Z').unwrap()].to_vec();
            let mut times: Vec<_> = sorted(&files).iter().map(until_zone).collect();
            times.dedup();
            assert!((59_000..61_700).contains(&times.len()), "{}", times.len());
        }
    }

    #[test]
    fn patterns_are_what_they_say() {
        let counts = |pattern| {
            let files = files(&Plan { pattern, ..plan(120_000) }, 100_000);
            files.iter().map(|file| lines(file).count()).collect::<Vec<_>>()
        };
        let near = |count: usize, expected: usize| count.abs_diff(expected) < 1_500;
        assert!(counts(Pattern::Interleaved).iter().all(|&n| near(n, 40_000)));
        assert_eq!(counts(Pattern::Runs), [40_000; 3]);
        assert_eq!(counts(Pattern::Disjoint), [40_000; 3]);
        let skewed = counts(Pattern::Skewed);
        assert!(near(skewed[0], 100_000) && near(skewed[1], 10_000) && near(skewed[2], 10_000), "{skewed:?}");
        let late = counts(Pattern::LateStart);
        assert!(near(late[0], 48_000) && near(late[1], 48_000) && near(late[2], 24_000), "{late:?}");
    }

    #[test]
    fn a_late_source_starts_when_the_others_have_half() {
        let files = files(&Plan { pattern: Pattern::LateStart, duplicates: 0.3, ..plan(120_000) }, 100_000);
        let first = number_in(lines(&files[2]).next().unwrap());
        assert!((48_000..48_050).contains(&first), "{first}");
    }

    #[test]
    fn needles_stand_where_they_are_said_to() {
        for format in FORMATS {
            for needle in [NEEDLE_FIRST, NEEDLE_FIRST + 7 * NEEDLE_EVERY] {
                let plan = Plan { sources: 1, format, ..Plan::default() };
                let mut generator = Generator::new(&plan).unwrap();
                generator.cursors[0].line = needle - 100;
                let mut block = Vec::new();
                generator.next_block(0, 65_536, &mut block);
                let text = String::from_utf8_lossy(&block);
                let says = format!("{NEEDLE} in row {needle}");
                assert_eq!(text.matches(NEEDLE).count(), 1);
                assert!(text.contains(&says), "{format:?}");
            }
        }
    }

    #[test]
    fn plain_text_has_whole_tracebacks_and_exact_lines() {
        let files = files(&Plan { format: Format::Plain, ..plan(100_000) }, 100_000);
        let text = String::from_utf8(files.concat()).unwrap();
        assert_eq!(text.lines().count(), 100_000);
        assert_eq!(text.matches("} ERROR - ").count(), 50);
        assert_eq!(text.matches("\nTraceback (most recent call last):\n  File ").count(), 50);
        assert_eq!(text.matches("\nKeyError: '").count(), 50);
    }

    #[test]
    fn a_size_in_bytes_is_met() {
        for format in FORMATS {
            for duplicates in [0.0, 0.5] {
                let plan = Plan { size: Size::Bytes(10_000_000), format, duplicates, ..Plan::default() };
                let total: usize = files(&plan, 1 << 20).iter().map(Vec::len).sum();
                assert!((9_900_000..10_100_000).contains(&total), "{format:?} {total}");
            }
        }
    }

    #[test]
    fn the_expected_size_is_about_right() {
        for format in FORMATS {
            let plan = Plan { format, duplicates: 0.5, ..plan(100_000) };
            let expected = Generator::new(&plan).unwrap().expected_bytes();
            let expected = usize::try_from(expected).unwrap();
            let total: usize = files(&plan, 1 << 20).iter().map(Vec::len).sum();
            assert!(total.abs_diff(expected) < total / 100, "{format:?} {total} {expected}");
        }
    }

    #[test]
    fn an_empty_log_is_a_log() {
        for pattern in PATTERNS {
            assert_eq!(files(&Plan { pattern, ..plan(0) }, 1), [b"", b"", b""]);
        }
    }

    #[test]
    fn a_bad_plan_is_refused() {
        for (bad, part) in [
            (Plan { sources: 0, ..plan(1) }, "sources"),
            (Plan { duplicates: 1.5, ..plan(1) }, "duplicates"),
            (Plan { ties: f64::NAN, ..plan(1) }, "ties"),
            (Plan { start_us: u64::MAX, ..plan(1) }, "start_us"),
            (plan(u64::MAX), "size"),
        ] {
            assert!(Generator::new(&bad).unwrap_err().to_string().contains(part));
        }
    }
}
