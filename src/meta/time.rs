//! Points in time as Kubernetes writes them: RFC 3339, UTC, whole seconds.

use std::fmt;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl std::str::FromStr for Time {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::new)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom(format_args!("{text:?} is not an RFC 3339 time")))
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
