//! Points in time as Kubernetes writes them: RFC 3339, UTC, whole seconds.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::field::quote;

/// 0000-01-01T00:00:00Z, the first second that RFC 3339 can write.
const FIRST: i64 = -62_167_219_200;
/// 9999-12-30T22:00:00Z, the last second that can be written in every zone.
const LAST: i64 = 253_402_207_200;
/// 0001-01-01T00:00:00Z.
const ZERO: i64 = -62_135_596_800;

/// A point in time with second precision.
///
/// Input may carry a fraction and another zone; both are dropped while reading, as Kubernetes does.
/// An unset time is `Option::None`, never a special value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

impl Time {
    /// The whole second that `timestamp` lies in.
    pub fn new(timestamp: Timestamp) -> Self {
        Self::from_unix_seconds(timestamp.as_nanosecond().div_euclid(1_000_000_000) as i64)
    }

    /// The time on the machine's clock.
    pub fn now() -> Self {
        Self::new(Timestamp::now())
    }

    /// Seconds since 1970-01-01 UTC; what lies outside of the years 0 to 9999, which RFC 3339 can write, is cut to them.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self(Timestamp::from_second(seconds.clamp(FIRST, LAST)).unwrap_or_default())
    }

    /// Whether it is the first second of year 1, which to Go is no time at all.
    pub fn is_zero(self) -> bool {
        self.unix_seconds() == ZERO
    }

    /// Seconds since 1970-01-01 UTC.
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }
}

/// How times are written. What is written by Kubernetes and by this server has this form, and there are thousands in a
/// large stream, so it is written and read without looking at the many other forms of RFC 3339.
const FORM: [u8; 20] = *b"0000-00-00T00:00:00Z";
/// Where the digits of year, month, day, hour, minute and second end.
const ENDS: [usize; 6] = [4, 7, 10, 13, 16, 19];

impl Time {
    fn digits(self) -> [u8; FORM.len()] {
        let time = Offset::UTC.to_datetime(self.0);
        // Years lie between 0 and 9999.
        let year = time.year().unsigned_abs();
        let parts = [time.month(), time.day(), time.hour(), time.minute(), time.second()];
        let parts = std::iter::once(year).chain(parts.map(|part| part.unsigned_abs().into()));
        let mut text = FORM;
        for (end, mut part) in ENDS.into_iter().zip(parts) {
            let digits = text[..end].iter_mut().rev().take_while(|byte| byte.is_ascii_digit());
            digits.for_each(|digit| {
                *digit = b'0' + (part % 10) as u8;
                part /= 10;
            });
        }
        text
    }
}

fn text(digits: &[u8; FORM.len()]) -> &str {
    str::from_utf8(digits).expect("it is written in ASCII")
}

/// The time in a text of the form in which times are written.
fn plain(text: &str) -> Option<Time> {
    let text: &[u8; FORM.len()] = text.as_bytes().try_into().ok()?;
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    if !text.iter().zip(&FORM).all(fits) {
        return None;
    }
    let part = |end: usize| (text[end - 2] - b'0') as i8 * 10 + (text[end - 1] - b'0') as i8;
    let [_, month, day, hour, minute, second] = ENDS.map(part);
    let year = i16::from(part(2)) * 100 + i16::from(part(4));
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Offset::UTC.to_timestamp(time).ok().map(Time::new)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text(&self.digits()))
    }
}

impl std::str::FromStr for Time {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        plain(text).map_or_else(|| text.parse().map(Self::new), Ok)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text(&self.digits()))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimeVisitor)
    }
}

/// What Go says of a text that is no time.
pub(super) fn parse_error(text: &str) -> String {
    let shown = quote(text);
    let why = match text.as_bytes().get(..4).is_some_and(|year| year.iter().all(u8::is_ascii_digit)) {
        true => "it is not a time".into(),
        false => format!("cannot parse {shown} as \"2006\""),
    };
    format!("parsing time {shown} as \"2006-01-02T15:04:05Z07:00\": {why}")
}

struct TimeVisitor;

impl de::Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 time")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
        text.parse().map_err(|_| E::custom(parse_error(text)))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "io.k8s.apimachinery.pkg.apis.meta.v1.Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "A point in time as RFC 3339 writes it; fractions of seconds are dropped.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(text: &str) -> String {
        text.parse::<Time>().unwrap().to_string()
    }

    #[test]
    fn a_fraction_and_a_zone_are_dropped() {
        assert_eq!(through("2020-01-01T00:00:00.123456+02:00"), "2019-12-31T22:00:00Z");
        assert_eq!(through("1969-12-31T23:59:59.5Z"), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn what_looks_like_a_time_is_read_as_one_or_refused() {
        for text in ["2020-02-29T23:59:59Z", "0000-01-01T00:00:00Z", "9999-12-30T22:00:00Z", "2016-12-31T23:59:60Z"] {
            let expected = text.parse::<Timestamp>().map(Time::new).unwrap();
            assert_eq!(text.parse::<Time>().unwrap(), expected, "{text}");
            assert_eq!(expected.to_string(), expected.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
        for text in ["2021-02-29T00:00:00Z", "2020-13-01T00:00:00Z", "2020-01-01T24:00:00Z", "2020-01-01T00:00:0:Z"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_time_is_read_as_it_is_written(seconds in FIRST..=LAST) {
            let time = Time::from_unix_seconds(seconds);
            let written = time.to_string();
            proptest::prop_assert_eq!(&written, &time.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            proptest::prop_assert_eq!(written.parse::<Time>().unwrap(), time);
        }
    }

    #[test]
    fn the_first_year_prints_four_digits() {
        assert_eq!(through("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn years_that_cannot_be_written_are_cut() {
        for text in ["-000001-01-01T00:00:00Z", "0000-01-01T00:00:00+01:00", "9999-12-30T22:00:00Z"] {
            let time: Time = text.parse().unwrap();
            assert_eq!(time.to_string().parse::<Time>().unwrap(), time, "{text}");
        }
        assert!(Time::from_unix_seconds(i64::MAX) > Time::from_unix_seconds(0));
        assert!(Time::from_unix_seconds(i64::MIN) < Time::from_unix_seconds(0));
    }
}
