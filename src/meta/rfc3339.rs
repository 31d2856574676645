//! RFC 3339 as Go's `time.Parse` reads it, with its errors.
//!
//! Go accepts a little more than the RFC: an hour of one digit, a comma before the fraction of a
//! second, and a zone of up to 24:60. Letters are in upper case, and there are no leap seconds.

use jiff::civil::Date;

/// Layout of Go's `time.RFC3339`.
const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";

/// Error text of Go's `time.Parse`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TimeError(String);

/// Parses a time into seconds since 1970-01-01 UTC. Drops the fraction of a second.
///
/// # Errors
/// The part that cannot be read, or is out of range.
pub(super) fn parse(text: &str) -> Result<i64, TimeError> {
    let mut parser = Parser { text, rest: text };
    let year = parser.year()?;
    parser.literal("-")?;
    let month = parser.number("01", Digits::Two, 1..=12, "month")?;
    parser.literal("-")?;
    let day = parser.number("02", Digits::Two, 0..=99, "day")?;
    parser.literal("T")?;
    let hour = parser.number("15", Digits::OneOrTwo, 0..=23, "hour")?;
    parser.literal(":")?;
    let minute = parser.number("04", Digits::Two, 0..=59, "minute")?;
    parser.literal(":")?;
    let second = parser.number("05", Digits::Two, 0..=59, "second")?;
    parser.skip_fraction();
    let offset = parser.zone()?;
    if !parser.rest.is_empty() {
        return Err(parser.message(&format!(": extra text: {}", quote(parser.rest))));
    }
    // `number` read at most two digits, and `year` four.
    let date = Date::new(year, month as i8, day as i8);
    let Ok(date) = date else { return Err(parser.message(": day out of range")) };
    let midnight = date.duration_since(Date::constant(1970, 1, 1)).as_secs();
    Ok(midnight + hour * 3600 + minute * 60 + second - offset)
}

/// Number of digits of a part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Digits {
    OneOrTwo,
    Two,
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn year(&mut self) -> Result<i16, TimeError> {
        let year = self.rest.get(..4).filter(|year| year.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(year) = year.and_then(|year| year.parse().ok()) else {
            return Err(self.cannot_parse(self.rest, "2006"));
        };
        self.rest = &self.rest[4..];
        Ok(year)
    }

    fn literal(&mut self, literal: &str) -> Result<(), TimeError> {
        match self.rest.strip_prefix(literal) {
            Some(rest) => self.rest = rest,
            None => return Err(self.cannot_parse(self.rest, literal)),
        }
        Ok(())
    }

    fn number(
        &mut self,
        layout: &str,
        digits: Digits,
        range: std::ops::RangeInclusive<i64>,
        name: &str,
    ) -> Result<i64, TimeError> {
        let Some((number, rest)) = leading_number(self.rest, digits) else {
            return Err(self.cannot_parse(self.rest, layout));
        };
        if !range.contains(&number) {
            return Err(self.message(&format!(": {name} out of range")));
        }
        self.rest = rest;
        Ok(number)
    }

    fn skip_fraction(&mut self) {
        if let Some(fraction) = self.rest.strip_prefix(['.', ','])
            && fraction.starts_with(|digit: char| digit.is_ascii_digit())
        {
            self.rest = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
        }
    }

    /// Parses `Z` or an offset, in seconds.
    fn zone(&mut self) -> Result<i64, TimeError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let unreadable = || self.cannot_parse(self.rest, "Z07:00");
        let zone = self.rest.get(..6).filter(|zone| zone.is_ascii()).ok_or_else(unreadable)?;
        let two = |text: &str| leading_number(text, Digits::Two).map(|(number, _)| number);
        let (Some(hours), Some(minutes)) = (two(&zone[1..3]), two(&zone[4..])) else {
            return Err(unreadable());
        };
        if &zone[3..4] != ":" {
            return Err(unreadable());
        }
        for (number, max, name) in [(hours, 24, "hour"), (minutes, 60, "minute")] {
            if number > max {
                return Err(self.message(&format!(": time zone offset {name} out of range")));
            }
        }
        let offset = hours * 3600 + minutes * 60;
        let offset = match &zone[..1] {
            "+" => offset,
            "-" => -offset,
            _ => return Err(unreadable()),
        };
        self.rest = &self.rest[6..];
        Ok(offset)
    }

    fn cannot_parse(&self, value: &str, layout: &str) -> TimeError {
        let (value, layout, whole) = (quote(value), quote(layout), quote(LAYOUT));
        TimeError(format!(
            "parsing time {} as {whole}: cannot parse {value} as {layout}",
            quote(self.text)
        ))
    }

    fn message(&self, message: &str) -> TimeError {
        TimeError(format!("parsing time {}{message}", quote(self.text)))
    }
}

/// Splits a number off a text.
fn leading_number(text: &str, digits: Digits) -> Option<(i64, &str)> {
    let digit = |at: usize| text.as_bytes().get(at).filter(|byte| byte.is_ascii_digit());
    let value = |digit: &u8| i64::from(digit - b'0');
    match (digit(0), digit(1)) {
        (Some(tens), Some(ones)) => Some((value(tens) * 10 + value(ones), &text[2..])),
        (Some(ones), None) if digits == Digits::OneOrTwo => Some((value(ones), &text[1..])),
        _ => None,
    }
}

/// Quotes a text as the package `time` does: bytes that are not printable ASCII are escaped.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..0x80 => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn forms_that_go_accepts_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-01-01T00:00:00.123456789012Z", 1_704_067_200),
            ("2024-01-01T00:00:00,5Z", 1_704_067_200),
            ("2024-01-01T0:00:00Z", 1_704_067_200),
            ("2024-01-01T01:00:00+01:00", 1_704_067_200),
            ("2023-12-30T23:00:00-24:60", 1_704_067_200),
            ("0000-01-01T00:00:00Z", -62_167_219_200),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn errors_have_the_texts_of_go() {
        let cannot = |text: &str, rest: &str, layout: &str| {
            format!(
                r#"parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{rest}" as "{layout}""#
            )
        };
        for (text, rest, layout) in [
            ("yesterday", "yesterday", "2006"),
            ("2024-01-01 00:00:00Z", " 00:00:00Z", "T"),
            ("2024-01-01t00:00:00Z", "t00:00:00Z", "T"),
            ("2024-01-01T00:00:00z", "z", "Z07:00"),
            ("2024-01-01T00:00:00+0100", "+0100", "Z07:00"),
            ("2024-01-01T00:00:00+01", "+01", "Z07:00"),
            ("2024-01-01T00:00Z", "Z", ":"),
            ("20240101T000000Z", "0101T000000Z", "-"),
            ("-000001-01-01T00:00:00Z", "-000001-01-01T00:00:00Z", "2006"),
            ("2024-1-01T00:00:00Z", "1-01T00:00:00Z", "01"),
            ("", "", "2006"),
        ] {
            assert_eq!(error(text), cannot(text, rest, layout));
        }
        for (text, message) in [
            ("2016-12-31T23:59:60Z", "second out of range"),
            ("2024-13-01T00:00:00Z", "month out of range"),
            ("2023-02-29T00:00:00Z", "day out of range"),
            ("2024-01-01T24:00:00Z", "hour out of range"),
            ("2024-01-01T00:00:00+25:00", "time zone offset hour out of range"),
            ("2024-01-01T00:00:00Z[UTC]", "extra text: \"[UTC]\""),
        ] {
            assert_eq!(error(text), format!("parsing time \"{text}\": {message}"));
        }
        assert!(error("é\"").starts_with(r#"parsing time "\xc3\xa9\"" as "#));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.,+Z-]{0,20}\\PC?") {
            let _ = parse(&text);
        }
    }
}
