//! Times: whatever is read as one lies in the years that can be held, and what was read before does not matter.

use logflume_core::level;
use logflume_core::stamp::{write_rfc3339, Reader, Settings};

const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"];

/// One byte for the zone, one that says whether the next line is a format; then lines.
pub fn check(data: &[u8]) {
    let [zone, with_format, rest @ ..] = data else { return };
    let zone = ZONES[usize::from(*zone) % ZONES.len()];
    let mut lines = rest.split(|&byte| byte == b'\n');
    let time_format = (with_format % 2 == 1).then(|| String::from_utf8_lossy(lines.next().unwrap_or(b"")).into_owned());
    let reference_ns = 1_732_106_096_000_000_000;
    let Ok(fresh) = Reader::new(&Settings { zone: zone.to_owned(), time_format, reference_ns }) else { return };
    let mut used = fresh.clone();
    for line in lines {
        let times = times_of(&mut used, line);
        times.iter().flatten().for_each(|ns| is_written_back(*ns));
        if zone == "UTC" {
            // Where a clock shows an hour twice, what was read before does matter.
            assert_eq!(times, times_of(&mut fresh.clone(), line), "a reader that has read before reads otherwise");
        }
        levels_of(line);
    }
}

fn times_of(reader: &mut Reader, line: &[u8]) -> [Option<i64>; 4] {
    let prefix = reader.rfc3339_prefix(line);
    if let Some((ns, length)) = prefix {
        assert_eq!(line[length], b'"');
        assert_eq!(reader.of_json_str(&line[..length]), Some(ns), "the short way reads another time");
    }
    let text = reader.of_text(line);
    [prefix.map(|(ns, _)| ns), text, reader.of_json_str(line), reader.of_json_number(line)]
}

fn is_written_back(ns: i64) {
    let mut text = Vec::new();
    write_rfc3339(ns, &mut text);
    let mut reader = Reader::new(&Settings::default()).expect("the default settings are good");
    // A year ends before it can be held whole; an offset may lead there, and reading does not.
    let year = std::str::from_utf8(&text[..4]).ok().and_then(|year| year.parse::<u32>().ok());
    assert!(year.is_some_and(|year| (1677..=2262).contains(&year)), "{}", String::from_utf8_lossy(&text));
    if year.is_some_and(|year| (1678..=2261).contains(&year)) {
        assert_eq!(reader.of_json_str(&text), Some(ns), "{}", String::from_utf8_lossy(&text));
    }
}

fn levels_of(line: &[u8]) {
    let _ = (level::of_text(line), level::from_json_str(line), level::from_json_number(line));
    let _ = level::from_python_levelno(line);
}
