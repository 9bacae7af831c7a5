//! Numbers since 1970: their size tells seconds from milli-, micro- and nanoseconds.

/// A `u64` holds any number of so many digits.
const MAX_DIGITS: usize = 19;

/// Time of a whole token such as `1732106096`, `1732106096.123`, `1732106096123` or `1.732106096e9`.
pub fn of_number(token: &[u8]) -> Option<i64> {
    let (whole, rest) = split_digits(token);
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) if rest.first()?.is_ascii_digit() => split_digits(rest),
        Some(_) => return None,
        None => (&[][..], rest),
    };
    if !matches!(whole.first()?, b'1'..=b'9') {
        return None;
    }
    let size = i64::try_from(whole.len()).ok()? + exponent(rest)?;
    let unit_power = match size {
        9..=11 => 9,
        12..=14 => 6,
        15..=17 => 3,
        18..=19 => 0,
        _ => return None,
    };
    let whole = &whole[..whole.len().min(MAX_DIGITS)];
    let fraction = &fraction[..fraction.len().min(MAX_DIGITS - whole.len())];
    let kept = i64::try_from(whole.len() + fraction.len()).ok()?;
    let digits = append(append(0, whole), fraction);
    shift(digits, size - kept + unit_power)
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

fn append(number: u64, digits: &[u8]) -> u64 {
    digits.iter().fold(number, |number, digit| number * 10 + u64::from(digit - b'0'))
}

/// The power of ten in `""`, `e9`, `E+9` or `e-3`; None for anything else, or more than three digits.
fn exponent(text: &[u8]) -> Option<i64> {
    let digits = match text {
        [] => return Some(0),
        [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..] => digits,
        _ => return None,
    };
    if !(1..=3).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let power = digits.iter().fold(0, |power, digit| power * 10 + i64::from(digit - b'0'));
    Some(if text[1] == b'-' { -power } else { power })
}

/// `number` times ten to `power`, rounded towards zero.
fn shift(number: u64, power: i64) -> Option<i64> {
    let factor = 10_u64.checked_pow(u32::try_from(power.unsigned_abs()).ok()?)?;
    let shifted = if power < 0 { number / factor } else { number.checked_mul(factor)? };
    i64::try_from(shifted).ok()
}
