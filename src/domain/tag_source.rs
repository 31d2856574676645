//! `TagSource`: the parsed `from` of a spec tag.

use super::tags;
use crate::api::{ImageStream, ObjectReference};

/// Namespace and name of an image stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// Namespace.
    pub namespace: String,
    /// Name as sent by a client. Not validated.
    pub name: String,
}

/// Source of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagSource<'a> {
    /// Pull spec of an image in an external registry.
    External(&'a str),
    /// Tag of a stream.
    Tag(StreamKey, &'a str),
    /// Image of a stream, by its name or a prefix.
    Image(StreamKey, &'a str),
}

/// Error of parsing a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>")]
pub struct ParseTagSourceError;

impl StreamKey {
    /// Returns the key of a stream.
    pub fn of(stream: &ImageStream) -> Self {
        Self { namespace: stream.metadata.namespace.clone(), name: stream.metadata.name.clone() }
    }

    /// Returns true if this is the key of `stream`.
    pub fn is_of(&self, stream: &ImageStream) -> bool {
        self.namespace == stream.metadata.namespace && self.name == stream.metadata.name
    }
}

impl<'a> TagSource<'a> {
    /// Parses the source of a tag of `stream`, as `parseFromReference` in openshift-apiserver
    /// pkg/image/apiserver/registry/imagestream/strategy.go.
    ///
    /// # Errors
    /// The kind is unknown, the name does not have the form for its kind, or a `DockerImage` has no
    /// name or another namespace.
    pub fn read(
        from: &'a ObjectReference,
        stream: &ImageStream,
    ) -> Result<Self, ParseTagSourceError> {
        let own = StreamKey::of(stream);
        let namespace = if from.namespace.is_empty() { &own.namespace } else { &from.namespace };
        let mark = match from.kind.as_str() {
            "ImageStreamTag" => ':',
            "ImageStreamImage" => '@',
            "DockerImage" if !from.name.is_empty() && *namespace == own.namespace => {
                return Ok(Self::External(&from.name));
            }
            _ => return Err(ParseTagSourceError),
        };
        let (name, part) = match from.name.split_once(mark) {
            Some((_, rest)) if rest.contains(mark) => return Err(ParseTagSourceError),
            Some(parts) => parts,
            None => (own.name.as_str(), from.name.as_str()),
        };
        let key = StreamKey { namespace: namespace.clone(), name: name.into() };
        Ok(if mark == ':' {
            Self::Tag(key, tags::or_default(part))
        } else {
            Self::Image(key, part)
        })
    }

    /// Returns the stream of the source. `None` for an external image.
    pub fn stream(&self) -> Option<&StreamKey> {
        match self {
            Self::External(_) => None,
            Self::Tag(key, _) | Self::Image(key, _) => Some(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, namespace: &str, name: &str) -> Option<(String, String)> {
        let from = ObjectReference {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..ObjectReference::default()
        };
        let mut stream = ImageStream::default();
        stream.metadata.namespace = "ns".into();
        stream.metadata.name = "s".into();
        Some(match TagSource::read(&from, &stream).ok()? {
            TagSource::External(reference) => ("outside".into(), reference.into()),
            TagSource::Tag(key, part) => {
                (format!("tag of {}/{}", key.namespace, key.name), part.into())
            }
            TagSource::Image(key, part) => {
                (format!("image of {}/{}", key.namespace, key.name), part.into())
            }
        })
    }

    fn parts(of: &str, part: &str) -> Option<(String, String)> {
        Some((of.into(), part.into()))
    }

    #[test]
    fn name_without_stream_means_the_same_stream() {
        assert_eq!(read("ImageStreamTag", "", "t"), parts("tag of ns/s", "t"));
        assert_eq!(read("ImageStreamTag", "other", "x:t"), parts("tag of other/x", "t"));
        assert_eq!(read("ImageStreamTag", "", "a@b"), parts("tag of ns/s", "a@b"));
        assert_eq!(read("ImageStreamTag", "", ":"), parts("tag of ns/", "latest"));
        assert_eq!(read("ImageStreamImage", "", "x@sha256:1"), parts("image of ns/x", "sha256:1"));
        assert_eq!(read("ImageStreamImage", "ns", "sha256:1"), parts("image of ns/s", "sha256:1"));
    }

    #[test]
    fn three_parts_and_unknown_kinds_are_rejected() {
        for (kind, name) in
            [("ImageStreamTag", "a:b:c"), ("ImageStreamImage", "a@b@c"), ("Pod", "x"), ("", "x")]
        {
            assert_eq!(read(kind, "", name), None, "{kind} {name}");
        }
    }

    #[test]
    fn external_source_has_a_name_and_no_namespace() {
        assert_eq!(read("DockerImage", "", "a:b:c@d"), parts("outside", "a:b:c@d"));
        assert_eq!(read("DockerImage", "ns", "x"), parts("outside", "x"));
        assert_eq!(read("DockerImage", "other", "x"), None);
        assert_eq!(read("DockerImage", "", ""), None);
    }
}
