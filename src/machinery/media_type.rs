//! Media types in `Content-Type` and `Accept`.
//!
//! The rules are those of Go's `ParseMediaType` (package mime) and of `ParseAccept` in
//! github.com/munnerz/goautoneg. Both accept headers that RFC 9110 forbids, such as `;q` or
//! `;as=`, so that a strict parser cannot replace them.

use std::collections::BTreeSet;

/// The media type without its parameters, such as `application/json`, as it was sent.
pub fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// The media type in a `Content-Type` header in lower case, without its parameters. None if a
/// parameter is malformed or repeated.
pub fn parse_content_type(header: &str) -> Option<String> {
    let (media_type, parameters) = header.split_once(';').unwrap_or((header, ""));
    let mut names = BTreeSet::new();
    for parameter in parameters.split(';').map(str::trim) {
        match parameter.split_once('=') {
            Some((name, value)) if !value.is_empty() && names.insert(name) => {}
            // A final semicolon is valid.
            None if parameter.is_empty() && names.is_empty() => {}
            _ => return None,
        }
    }
    Some(media_type.trim().to_ascii_lowercase())
}

/// An element of an `Accept` header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MediaRange<'a> {
    /// The type, such as `application`, or `*`.
    pub kind: &'a str,
    /// The subtype, such as `json`, or `*`.
    pub subtype: &'a str,
    /// The quality: 1 by default, 0 for an invalid number.
    pub quality: f32,
    parameters: &'a str,
}

impl<'a> MediaRange<'a> {
    /// Parses an element of an `Accept` header. None for one without a subtype.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (media_type, parameters) = text.split_once(';').unwrap_or((text, ""));
        let (kind, subtype) = match media_type.trim() {
            "*" => ("*", "*"),
            media_type => media_type.split_once('/')?,
        };
        let mut range =
            Self { kind: kind.trim(), subtype: subtype.trim(), quality: 1.0, parameters };
        range.quality = range.parameter("q").map_or(1.0, |value| value.parse().unwrap_or_default());
        Some(range)
    }

    /// The value of a parameter. None for an empty value and for one with an equals sign.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        if self.parameters.is_empty() {
            return None;
        }
        let pairs = self.parameters.split(';').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.filter(|(_, value)| !value.is_empty() && !value.contains('='));
        pairs
            .map(|(key, value)| (key.trim(), value.trim()))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The rank among several ranges: the quality, then the exactness.
    pub fn rank(&self) -> (f32, u8) {
        (self.quality, u8::from(self.kind != "*") + u8::from(self.subtype != "*"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_have_well_formed_unique_parameters() {
        for (header, expected) in [
            ("Application/JSON", Some("application/json")),
            (" application/json ; charset=utf-8", Some("application/json")),
            ("application/json;", Some("application/json")),
            ("application/json;charset", None),
            ("application/json;charset=", None),
            ("application/json;a=b;a=c", None),
        ] {
            assert_eq!(parse_content_type(header).as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn malformed_parameters_of_a_range_are_ignored() {
        let range = MediaRange::parse("application/json;as=;q;v=a=b;g = meta.k8s.io ").unwrap();
        assert_eq!(
            ["as", "v", "g"].map(|name| range.parameter(name)),
            [None, None, Some("meta.k8s.io")]
        );
        assert_eq!(range.rank(), (1.0, 2));
        assert_eq!(MediaRange::parse("*;q=x").map(|range| range.rank()), Some((0.0, 0)));
        assert_eq!(MediaRange::parse("json"), None);
    }
}
