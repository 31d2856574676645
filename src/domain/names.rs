//! The rules for names: image streams, and names made of two parts.

use crate::meta::path_segment_faults;

/// Why a name is not allowed for an image stream; empty if it is. The form is checked only in path segments.
pub fn stream_name_faults(name: &str) -> Vec<&'static str> {
    match path_segment_faults(name) {
        faults if !faults.is_empty() => faults,
        _ if is_stream_name(name) => Vec::new(),
        _ => vec![r#"must match "[a-z0-9]+(?:[._-][a-z0-9]+)*""#],
    }
}

/// The name of an image in a stream: `<stream>@<id>`, where the id may be short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamImageName {
    /// Name of the stream; any text.
    pub stream: String,
    /// Name of the image or the beginning of one; any text.
    pub id: String,
}

/// A name that is not two parts joined by `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ImageStreamImages must be retrieved with <name>@<id>")]
pub struct BadStreamImageName;

impl StreamImageName {
    /// Splits `name`, which must have exactly one `@` with something on both sides.
    ///
    /// # Errors
    /// The name has another form.
    pub fn parse(name: &str) -> Result<Self, BadStreamImageName> {
        let (stream, id) = two_parts(name, '@').ok_or(BadStreamImageName)?;
        Ok(Self { stream: stream.into(), id: id.into() })
    }
}

/// The two sides of the only `mark` in `name`, if neither is empty.
pub fn two_parts(name: &str, mark: char) -> Option<(&str, &str)> {
    let (left, right) = name.split_once(mark)?;
    (!left.is_empty() && !right.is_empty() && !right.contains(mark)).then_some((left, right))
}

/// Runs of small letters and digits, joined by single dots, underscores or dashes.
fn is_stream_name(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.split(['.', '_', '-']).all(|run| !run.is_empty() && run.bytes().all(alphanumeric))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stream_name_is_runs_joined_by_single_marks() {
        for name in ["a", "a.b-c_d", "0"] {
            assert!(stream_name_faults(name).is_empty(), "{name}");
        }
        for name in ["", "a__b", "a--b", "Upper", "a..b", "a_", "-a", "a b", "a:b", "a@b", "é"] {
            assert_eq!(stream_name_faults(name), [r#"must match "[a-z0-9]+(?:[._-][a-z0-9]+)*""#], "{name}");
        }
    }

    #[test]
    fn what_is_no_path_segment_is_told_nothing_else() {
        assert_eq!(stream_name_faults("."), ["may not be '.'"]);
        assert_eq!(stream_name_faults(".."), ["may not be '..'"]);
        assert_eq!(stream_name_faults("A/b%"), ["may not contain '/'", "may not contain '%'"]);
    }

    #[test]
    fn a_stream_image_name_has_one_at_sign_between_two_parts() {
        let name = StreamImageName::parse("s@sha256:1").unwrap();
        assert_eq!((name.stream.as_str(), name.id.as_str()), ("s", "sha256:1"));
        assert!(StreamImageName::parse("..@ ").is_ok());
        for bad in ["", "@", "s", "s@", "@x", "s@a@b", "s@@"] {
            let error = StreamImageName::parse(bad).unwrap_err();
            assert_eq!(error.to_string(), "ImageStreamImages must be retrieved with <name>@<id>", "{bad}");
        }
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
