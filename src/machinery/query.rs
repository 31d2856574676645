//! Query parameters of a URL, parsed as by Go's `net/url` and the Kubernetes decoders.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::machinery::go_fmt::strconv_error;
use crate::meta::{Status, duration};

/// The query parameters of a request. The first value counts if a parameter is repeated.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the part of a URL after the question mark.
    ///
    /// Skips pairs with a semicolon or an invalid escape, as `url.ParseQuery` in Go does.
    pub fn parse(text: Option<&str>) -> Self {
        let pairs = text
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.contains(';'));
        Self(pairs.filter_map(parse_pair).collect())
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean parameter: false if absent, `0` or `false`, otherwise true
    /// (`Convert_Slice_string_To_bool` in `k8s.io/apimachinery/pkg/runtime/conversion.go`).
    pub fn switch(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// An integer parameter; none if absent.
    ///
    /// # Errors
    /// 400 if the value is not an integer.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        let number = self
            .get(name)
            .map(|value| value.parse().map_err(|error| strconv_error("ParseInt", value, &error)));
        number.transpose().map_err(Status::bad_request)
    }

    /// The parameter `timeout`; none if absent, zero or negative.
    ///
    /// # Errors
    /// 400 if the value is not a duration.
    pub fn timeout(&self) -> Result<Option<Duration>, Status> {
        let Some(value) = self.get("timeout").filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let timeout = duration::parse(value).map_err(|error| {
            Status::bad_request(format!("invalid timeout specified in the request URL - {error}"))
        })?;
        Ok(Duration::try_from(timeout).ok().filter(|timeout| !timeout.is_zero()))
    }
}

fn parse_pair(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((unescape(key)?, unescape(value)?))
}

fn unescape(text: &str) -> Option<String> {
    let text: Cow<'_, str> =
        if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    has_valid_escapes(&text).then(|| percent_decode_str(&text).decode_utf8_lossy().into_owned())
}

/// Returns true if two hexadecimal digits follow every percent sign.
pub fn has_valid_escapes(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_pairs_are_skipped_and_the_first_value_counts() {
        let query = Query::parse(Some("b=2&a=1;x=3&c=%zz&a=0&d&a=5&e=x%20y+z"));
        assert_eq!((query.get("a"), query.get("b"), query.get("c")), (Some("0"), Some("2"), None));
        assert_eq!((query.get("d"), query.get("e")), (Some(""), Some("x y z")));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["0", "5"]);
    }

    #[test]
    fn booleans_are_true_except_for_0_and_false() {
        let query = Query::parse(Some("a=maybe&b=0&c=False&d="));
        assert!(query.switch("a") && query.switch("d"));
        assert!(!query.switch("b") && !query.switch("c") && !query.switch("e"));
    }

    #[test]
    fn timeouts_are_parsed_as_in_go() {
        let timeout = |text: &str| Query::parse(Some(&format!("timeout={text}"))).timeout();
        assert_eq!(timeout("1m30s").unwrap(), Some(Duration::from_secs(90)));
        assert_eq!(timeout("250ms").unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(timeout("-1s").unwrap(), None);
        assert_eq!(timeout("0s").unwrap(), None);
        let text = "invalid timeout specified in the request URL - time: invalid duration \"bad\"";
        assert_eq!(timeout("bad").unwrap_err().message, text);
    }

    #[test]
    fn invalid_integers_have_the_errors_of_go() {
        let read =
            |text: &str| Query::parse(Some(text)).integer("limit").map_err(|status| status.message);
        assert_eq!(
            (read("limit=-1"), read("limit=%2B7"), read("a=b")),
            (Ok(Some(-1)), Ok(Some(7)), Ok(None))
        );
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
