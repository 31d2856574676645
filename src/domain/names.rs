//! Names of image streams, and names in the form `<stream>@<image>` and `<stream>:<tag>`.

use std::fmt;

use super::tags;
use crate::meta::{field, path_segment_errors};

/// Returns the violated rules for the name of an image stream, as `ValidateImageStreamName` in
/// openshift-apiserver pkg/image/apis/image/validation/validation.go.
pub fn stream_name_errors(name: &str) -> Vec<&'static str> {
    match path_segment_errors(name) {
        errors if !errors.is_empty() => errors,
        _ if is_stream_name(name) => Vec::new(),
        _ => vec![r#"must match "[a-z0-9]+(?:[._-][a-z0-9]+)*""#],
    }
}

/// Returns an error if the name of a new image contains control characters. `path` is the field of
/// the name.
///
/// Digests have none, and a name with control characters can forge lines in logs and terminals.
pub fn new_image_name_error(path: &str, name: &str) -> Option<field::Error> {
    // NUL is rejected in the names of all objects.
    let is_bad = |letter: char| letter.is_control() && letter != '\0';
    name.contains(is_bad)
        .then(|| field::Error::invalid(path, name, "may not contain control characters"))
}

/// Name of an image in a stream: `<stream>@<id>`. The ID may be abbreviated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamImageName {
    /// Name of the stream. Not validated.
    pub stream: String,
    /// Name of the image or a prefix of it. Not validated.
    pub id: String,
}

/// Error for a name that does not have the form `<stream>@<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ImageStreamImages must be retrieved with <name>@<id>")]
pub struct ParseStreamImageNameError;

impl StreamImageName {
    /// Parses a name with exactly one `@` between two non-empty parts.
    ///
    /// # Errors
    /// Any other name.
    pub fn parse(name: &str) -> Result<Self, ParseStreamImageNameError> {
        let (stream, id) = two_parts(name, '@').ok_or(ParseStreamImageNameError)?;
        Ok(Self { stream: stream.into(), id: id.into() })
    }
}

/// Name of a tag in a stream: `<stream>:<tag>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTagName {
    /// Name of the stream. Not validated.
    pub stream: String,
    /// Name of the tag. Not validated.
    pub tag: String,
}

/// Error for the name of a new tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTagNameError {
    /// The name has no colon.
    #[error("{} must be of the form <stream_name>:<tag>", crate::meta::field::quote(.0))]
    NoTag(String),
    /// The name of the stream is empty.
    #[error("Name parameter required.")]
    NoStream,
}

impl StreamTagName {
    /// Parses the name of an existing tag: exactly one `:` between two non-empty parts, and no `@`.
    ///
    /// Returns `None` for any other name; [`StreamTagName::format_error`] is the text of the error.
    pub fn parse(name: &str) -> Option<Self> {
        let (stream, tag) = two_parts(name, ':').filter(|_| !name.contains('@'))?;
        Some(Self { stream: stream.into(), tag: tag.into() })
    }

    /// Parses the name of a new tag at the first `:`. An empty tag becomes `latest`.
    ///
    /// # Errors
    /// The name has no colon, or nothing before it.
    pub fn parse_new(name: &str) -> Result<Self, ParseTagNameError> {
        match name.split_once(':') {
            None => Err(ParseTagNameError::NoTag(name.into())),
            Some(("", _)) => Err(ParseTagNameError::NoStream),
            Some((stream, tag)) => {
                Ok(Self { stream: stream.into(), tag: tags::or_default(tag).into() })
            }
        }
    }

    /// Returns the error text for an invalid name. `kinds` is the plural of the kind, such as
    /// `ImageTags`.
    pub fn format_error(kinds: &str) -> String {
        format!("{kinds} must be retrieved with <name>:<tag>")
    }
}

impl fmt::Display for StreamTagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.stream, self.tag)
    }
}

/// Returns `<stream>:<tag>`.
pub fn join(stream: &str, tag: &str) -> String {
    format!("{stream}:{tag}")
}

/// Returns the tag in a name that was not validated.
pub(super) fn tag_part(name: &str) -> &str {
    tags::or_default(name.split_once(':').map_or("", |(_, tag)| tag))
}

/// Splits `name` at its only `mark`. Returns `None` if a part is empty.
pub fn two_parts(name: &str, mark: char) -> Option<(&str, &str)> {
    let (left, right) = name.split_once(mark)?;
    (!left.is_empty() && !right.is_empty() && !right.contains(mark)).then_some((left, right))
}

/// Matches `[a-z0-9]+(?:[._-][a-z0-9]+)*`.
fn is_stream_name(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.split(['.', '_', '-']).all(|run| !run.is_empty() && run.bytes().all(alphanumeric))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stream_name_matches_the_repository_grammar() {
        for name in ["a", "a.b-c_d", "0"] {
            assert!(stream_name_errors(name).is_empty(), "{name}");
        }
        for name in ["", "a__b", "a--b", "Upper", "a..b", "a_", "-a", "a b", "a:b", "a@b", "é"] {
            assert_eq!(
                stream_name_errors(name),
                [r#"must match "[a-z0-9]+(?:[._-][a-z0-9]+)*""#],
                "{name}"
            );
        }
    }

    #[test]
    fn path_segment_errors_come_alone() {
        assert_eq!(stream_name_errors("."), ["may not be '.'"]);
        assert_eq!(stream_name_errors(".."), ["may not be '..'"]);
        assert_eq!(stream_name_errors("A/b%"), ["may not contain '/'", "may not contain '%'"]);
    }

    #[test]
    fn new_image_name_has_no_control_characters() {
        for good in ["sha256:0", "app v1", "é", "mine"] {
            assert_eq!(new_image_name_error("metadata.name", good), None, "{good}");
        }
        for bad in ["sha256:y\nline", "a\rb", "a\tb", "a\u{1b}[31mb", "a\u{7f}", "a\u{85}b"] {
            let text = new_image_name_error("metadata.name", bad).unwrap().to_string();
            assert!(
                text.starts_with("metadata.name: Invalid value: \"")
                    && text.ends_with("control characters"),
                "{text}"
            );
            assert!(!text.contains(bad), "{text}");
        }
    }

    #[test]
    fn stream_image_name_has_one_at_sign() {
        let name = StreamImageName::parse("s@sha256:1").unwrap();
        assert_eq!((name.stream.as_str(), name.id.as_str()), ("s", "sha256:1"));
        assert!(StreamImageName::parse("..@ ").is_ok());
        for bad in ["", "@", "s", "s@", "@x", "s@a@b", "s@@"] {
            let error = StreamImageName::parse(bad).unwrap_err();
            assert_eq!(
                error.to_string(),
                "ImageStreamImages must be retrieved with <name>@<id>",
                "{bad}"
            );
        }
    }

    #[test]
    fn tag_name_has_one_colon() {
        let name = StreamTagName::parse("s:t").unwrap();
        assert_eq!(
            (name.stream.as_str(), name.tag.as_str(), name.to_string().as_str()),
            ("s", "t", "s:t")
        );
        for bad in ["", "s", "s:", ":t", "s:a:b", "s@x", "s:a@b", "a@s:t"] {
            assert_eq!(StreamTagName::parse(bad), None, "{bad}");
        }
        assert_eq!(
            StreamTagName::format_error("ImageTags"),
            "ImageTags must be retrieved with <name>:<tag>"
        );
    }

    #[test]
    fn new_tag_name_is_split_at_the_first_colon() {
        let split = |name: &str| StreamTagName::parse_new(name).map(|name| (name.stream, name.tag));
        let parts = |stream: &str, tag: &str| Ok((stream.to_owned(), tag.to_owned()));
        assert_eq!(split("s:a:b"), parts("s", "a:b"));
        assert_eq!(split("s:x@y"), parts("s", "x@y"));
        assert_eq!(split("s:"), parts("s", "latest"));
        let text = |name: &str| split(name).unwrap_err().to_string();
        assert_eq!(text("bad"), "\"bad\" must be of the form <stream_name>:<tag>");
        assert_eq!(text(":a"), "Name parameter required.");
    }

    proptest! {
        #[test]
        fn any_text_gives_a_name_that_prints_as_it_was_or_an_error(text in "\\PC*|[a@]{0,5}") {
            if let Ok(StreamImageName { stream, id }) = StreamImageName::parse(&text) {
                prop_assert_eq!(format!("{stream}@{id}"), text);
            }
        }
    }
}
