//! The query of a URL, read with the rules of Go and of the Kubernetes decoders.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::machinery::go_fmt::strconv_error;
use crate::meta::{Status, duration};

/// The parameters of a request. Of a parameter that is given twice the first counts.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URL after the question mark.
    ///
    /// Pairs with a semicolon or with a broken escape are left out, as Go does.
    pub fn parse(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
        Self(pairs.filter_map(read_pair).collect())
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A switch: off when absent, `0` or `false`, else on.
    pub fn switch(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A whole number; a value without a digit is none.
    ///
    /// # Errors
    /// 400 when the value is none.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        let number = self.get(name).map(|value| value.parse().map_err(|why| strconv_error("ParseInt", value, &why)));
        number.transpose().map_err(Status::bad_request)
    }

    /// The parameter `timeout`; none when absent, zero or negative.
    ///
    /// # Errors
    /// 400 when the value is no duration.
    pub fn timeout(&self) -> Result<Option<Duration>, Status> {
        let Some(value) = self.get("timeout").filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let timeout = duration::parse(value)
            .map_err(|why| Status::bad_request(format!("invalid timeout specified in the request URL - {why}")))?;
        Ok(Duration::try_from(timeout).ok().filter(|timeout| !timeout.is_zero()))
    }
}

fn read_pair(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((unescape(key)?, unescape(value)?))
}

fn unescape(text: &str) -> Option<String> {
    let text: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    has_sound_escapes(&text).then(|| percent_decode_str(&text).decode_utf8_lossy().into_owned())
}

/// Whether every percent sign is followed by two hexadecimal digits.
pub fn has_sound_escapes(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_pairs_vanish_and_the_first_value_counts() {
        let query = Query::parse(Some("b=2&a=1;x=3&c=%zz&a=0&d&a=5&e=x%20y+z"));
        assert_eq!((query.get("a"), query.get("b"), query.get("c")), (Some("0"), Some("2"), None));
        assert_eq!((query.get("d"), query.get("e")), (Some(""), Some("x y z")));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["0", "5"]);
    }

    #[test]
    fn everything_but_0_and_false_switches_on() {
        let query = Query::parse(Some("a=maybe&b=0&c=False&d="));
        assert!(query.switch("a") && query.switch("d"));
        assert!(!query.switch("b") && !query.switch("c") && !query.switch("e"));
    }

    #[test]
    fn timeouts_are_read_as_go_does() {
        let timeout = |text: &str| Query::parse(Some(&format!("timeout={text}"))).timeout();
        assert_eq!(timeout("1m30s").unwrap(), Some(Duration::from_secs(90)));
        assert_eq!(timeout("250ms").unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(timeout("-1s").unwrap(), None);
        assert_eq!(timeout("0s").unwrap(), None);
        let text = "invalid timeout specified in the request URL - time: invalid duration \"bad\"";
        assert_eq!(timeout("bad").unwrap_err().message, text);
    }

    #[test]
    fn what_is_no_number_is_told_as_go_tells_it() {
        let read = |text: &str| Query::parse(Some(text)).integer("limit").map_err(|status| status.message);
        assert_eq!((read("limit=-1"), read("limit=%2B7"), read("a=b")), (Ok(Some(-1)), Ok(Some(7)), Ok(None)));
        assert_eq!(read("limit=").unwrap_err(), "strconv.ParseInt: parsing \"\": invalid syntax");
        let large = "strconv.ParseInt: parsing \"99999999999999999999\": value out of range";
        assert_eq!(read("limit=99999999999999999999").unwrap_err(), large);
    }

    proptest::proptest! {
        #[test]
        fn no_query_panics(text in ".*") {
            let query = Query::parse(Some(&text));
            let _ = (query.timeout(), query.integer("limit"));
        }
    }
}
