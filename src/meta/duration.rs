//! Durations in Go's notation, such as `300ms`, `1h30m` or `-1.5h`, in flags and queries.

use std::time::Duration;

use jiff::SignedDuration;

/// A text that is no duration, in the words of Go's `time.ParseDuration`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text has another form, or the duration exceeds 2^63 nanoseconds (292 years).
    #[error("time: invalid duration {}", quoted(.0))]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {}", quoted(.0))]
    MissingUnit(String),
    /// A unit other than `ns`, `us`, `µs`, `ms`, `s`, `m` and `h`.
    #[error("time: unknown unit {} in duration {}", quoted(.unit), quoted(.duration))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        duration: String,
    },
}

/// Parses an optional sign and a sequence of decimal numbers with units, or `0`. As
/// `ParseDuration` in Go's `src/time/format.go`.
///
/// # Errors
/// The text is no duration.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let (number, behind) = Decimal::split_from(rest).ok_or_else(invalid)?;
        let starts_number = |letter: char| letter.is_ascii_digit() || letter == '.';
        let (unit, behind) = behind.split_at(behind.find(starts_number).unwrap_or(behind.len()));
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        let scale = nanoseconds(unit).ok_or_else(|| DurationError::UnknownUnit {
            unit: unit.to_owned(),
            duration: text.to_owned(),
        })?;
        sum = number.times(scale).and_then(|part| sum.checked_add(part)).ok_or_else(invalid)?;
        rest = behind;
    }
    let nanoseconds =
        if is_negative { 0_i64.checked_sub_unsigned(sum) } else { i64::try_from(sum).ok() };
    nanoseconds.map(SignedDuration::from_nanos).ok_or_else(invalid)
}

/// Parses the value of a flag that may be zero.
///
/// # Errors
/// The text is no duration, or a negative one.
pub fn non_negative(text: &str) -> Result<Duration, String> {
    let parsed = parse(text).map_err(|error| match &error {
        DurationError::MissingUnit(number) => {
            format!("{error}: write {number}s, {number}m or {number}h")
        }
        _ => format!("{error}: write it as in 300ms, 1m30s or 2h"),
    })?;
    Duration::try_from(parsed).map_err(|_| "a duration cannot be negative".to_owned())
}

/// Parses the value of a flag that must be more than zero.
///
/// # Errors
/// The text is no duration, or one that is negative or zero.
pub fn positive(text: &str) -> Result<Duration, String> {
    match non_negative(text)? {
        Duration::ZERO => Err("it must be more than zero".to_owned()),
        duration => Ok(duration),
    }
}

/// An unsigned decimal number.
struct Decimal {
    whole: u64,
    /// The digits after the point, as far as a u64 holds them.
    fraction: u64,
    /// The number of those digits.
    places: i32,
}

impl Decimal {
    /// Splits a text into the number at its start and the rest. None without a digit, or if the
    /// number exceeds a u64.
    fn split_from(text: &str) -> Option<(Self, &str)> {
        let (whole, behind) = split_digits(text);
        let (fraction, behind) = behind.strip_prefix('.').map_or(("", behind), split_digits);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        // A u64 holds all numbers of 19 digits, which is more than a float keeps of them.
        let fraction = &fraction[..fraction.len().min(19)];
        let places = i32::try_from(fraction.len()).unwrap_or_default();
        Some((Self { whole, fraction: fraction.parse().unwrap_or_default(), places }, behind))
    }

    /// The number of nanoseconds, rounded down. None if it exceeds a u64.
    // The fraction is less than a unit. Go computes it as a float, too.
    fn times(&self, scale: u64) -> Option<u64> {
        let fraction = self.fraction as f64 * (scale as f64 / 10_f64.powi(self.places));
        self.whole.checked_mul(scale)?.checked_add(fraction as u64)
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()))
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// The text in quotes, with bytes that are no printable ASCII as `\xNN` (`quote` in Go's
/// `src/time/format.go`).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=0x7f => out.push(char::from(byte)),
            _ => out += &format!("\\x{byte:02x}"),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_numbers_with_units_are_durations() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("+5s", 5_000_000_000),
            ("300ms", 300_000_000),
            ("1h30m", 5_400_000_000_000),
            ("-1.5h", -5_400_000_000_000),
            ("1.s", 1_000_000_000),
            (".5us", 500),
            ("1µs2μs3us", 6_000),
            ("1s1s", 2_000_000_000),
            ("0.33333333333333333333h", 1_200_000_000_000),
            ("0.9999999999999999999999ns", 1),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(parse(text), Ok(SignedDuration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn errors_read_as_those_of_go() {
        for (text, error) in [
            ("", r#"invalid duration """#),
            ("-", r#"invalid duration "-""#),
            (".s", r#"invalid duration ".s""#),
            ("soon", r#"invalid duration "soon""#),
            ("PT5M", r#"invalid duration "PT5M""#),
            ("--1s", r#"invalid duration "--1s""#),
            ("5", r#"missing unit in duration "5""#),
            ("1.5.5s", r#"missing unit in duration "1.5.5s""#),
            ("1e3s", r#"unknown unit "e" in duration "1e3s""#),
            ("5 minutes", r#"unknown unit " minutes" in duration "5 minutes""#),
            ("5µ\"", r#"unknown unit "\xc2\xb5\"" in duration "5\xc2\xb5\"""#),
            ("99999999999h", r#"invalid duration "99999999999h""#),
            ("9223372036854775808ns", r#"invalid duration "9223372036854775808ns""#),
            ("-9223372036854775809ns", r#"invalid duration "-9223372036854775809ns""#),
            ("99999999999999999999s", r#"invalid duration "99999999999999999999s""#),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), format!("time: {error}"), "{text}");
        }
    }

    #[test]
    fn flags_take_no_negative_durations() {
        assert_eq!(non_negative("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(non_negative("0s"), Ok(Duration::ZERO));
        assert!(non_negative("-1s").is_err() && positive("0s").is_err());
        let error = positive("5 minutes").unwrap_err();
        assert!(error.starts_with("time: unknown unit") && error.contains("1m30s"), "{error}");
        let error = positive("90").unwrap_err();
        assert!(
            error.ends_with("missing unit in duration \"90\": write 90s, 90m or 90h"),
            "{error}"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*|[-+]?([0-9]{0,22}[.]?[0-9]{0,22}(ns|us|ms|s|m|h)){1,4}") {
            let _ = parse(&text);
        }
    }
}
