//! `Time`: a point in time in the format of `metav1.Time`: RFC 3339, UTC, whole seconds.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::excerpt;
use super::rfc3339::{self, TimeError};

/// 0000-01-01T00:00:00Z, the earliest time in RFC 3339.
const FIRST: i64 = -62_167_219_200;
/// 9999-12-30T22:00:00Z, the latest time that has a four-digit year in every time zone.
const LAST: i64 = 253_402_207_200;
/// 0001-01-01T00:00:00Z, the zero time of Go.
const ZERO: i64 = -62_135_596_800;

/// Point in time with a precision of one second.
///
/// Parsing accepts the forms of Go's `time.Parse`, drops fractions of a second and converts to UTC,
/// as `Time.UnmarshalJSON` in k8s.io/apimachinery/pkg/apis/meta/v1/time.go. An unset time is
/// `Option::None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

impl Time {
    /// Truncates a timestamp to whole seconds.
    pub fn new(timestamp: Timestamp) -> Self {
        Self::from_unix_seconds(timestamp.as_nanosecond().div_euclid(1_000_000_000) as i64)
    }

    /// Returns the current time of the system clock.
    pub fn now() -> Self {
        Self::new(Timestamp::now())
    }

    /// Converts seconds since 1970-01-01 UTC. Times outside the years 0 to 9999 of RFC 3339 are
    /// clamped.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self(Timestamp::from_second(seconds.clamp(FIRST, LAST)).unwrap_or_default())
    }

    /// Returns true for Go's zero time, the first second of year 1.
    pub fn is_zero(self) -> bool {
        self.unix_seconds() == ZERO
    }

    /// Returns the seconds since 1970-01-01 UTC.
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }
}

/// Canonical format. Kubernetes and this server always write it, and a large stream holds thousands
/// of times, so it has a fast path that skips the general RFC 3339 parser.
const CANONICAL: [u8; 20] = *b"0000-00-00T00:00:00Z";
/// End positions of year, month, day, hour, minute and second in [`CANONICAL`].
const ENDS: [usize; 6] = [4, 7, 10, 13, 16, 19];

impl Time {
    fn digits(self) -> [u8; CANONICAL.len()] {
        let time = Offset::UTC.to_datetime(self.0);
        // Years are between 0 and 9999.
        let year = time.year().unsigned_abs();
        let parts = [time.month(), time.day(), time.hour(), time.minute(), time.second()];
        let parts = std::iter::once(year).chain(parts.map(|part| part.unsigned_abs().into()));
        let mut text = CANONICAL;
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

fn as_str(digits: &[u8; CANONICAL.len()]) -> &str {
    str::from_utf8(digits).expect("digits and separators are ASCII")
}

/// Parses the canonical format.
fn parse_canonical(text: &str) -> Option<Time> {
    let text: &[u8; CANONICAL.len()] = text.as_bytes().try_into().ok()?;
    let fits =
        |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    if !text.iter().zip(&CANONICAL).all(fits) {
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
        f.write_str(as_str(&self.digits()))
    }
}

impl std::str::FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match parse_canonical(text) {
            Some(time) => Ok(time),
            None => rfc3339::parse(text).map(Self::from_unix_seconds),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(as_str(&self.digits()))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimeVisitor)
    }
}

struct TimeVisitor;

impl de::Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 time")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
        text.parse().map_err(|error| E::custom(excerpt::of(error)))
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
            "description": "Time is a point in time in RFC 3339 format. Fractions of a second are dropped.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> String {
        text.parse::<Time>().unwrap().to_string()
    }

    #[test]
    fn fraction_and_zone_are_dropped() {
        assert_eq!(round_trip("2020-01-01T00:00:00.123456+02:00"), "2019-12-31T22:00:00Z");
        assert_eq!(round_trip("1969-12-31T23:59:59.5Z"), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn canonical_format_is_parsed_or_rejected() {
        for text in ["2020-02-29T23:59:59Z", "0000-01-01T00:00:00Z", "9999-12-30T22:00:00Z"] {
            let expected = text.parse::<Timestamp>().map(Time::new).unwrap();
            assert_eq!(text.parse::<Time>().unwrap(), expected, "{text}");
            assert_eq!(expected.to_string(), expected.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
        for text in [
            "2021-02-29T00:00:00Z",
            "2020-13-01T00:00:00Z",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:00:0:Z",
            "2016-12-31T23:59:60Z",
        ] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn formatted_times_parse_to_the_same_value(seconds in FIRST..=LAST) {
            let time = Time::from_unix_seconds(seconds);
            let written = time.to_string();
            proptest::prop_assert_eq!(&written, &time.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            proptest::prop_assert_eq!(written.parse::<Time>().unwrap(), time);
        }
    }

    #[test]
    fn year_one_has_four_digits() {
        assert_eq!(round_trip("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn years_outside_rfc_3339_are_clamped() {
        for text in ["0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-24:00"] {
            let time: Time = text.parse().unwrap();
            assert_eq!(time.to_string().parse::<Time>().unwrap(), time, "{text}");
        }
        assert!(Time::from_unix_seconds(i64::MAX) > Time::from_unix_seconds(0));
        assert!(Time::from_unix_seconds(i64::MIN) < Time::from_unix_seconds(0));
    }
}
