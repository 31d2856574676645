//! An event as it goes over the wire.

use bytes::Bytes;

use crate::endpoints::negotiation::Media;
use crate::machinery::protobuf;
use crate::meta::Status;
use crate::meta::protobuf::MessageDescriptor;
use crate::registry::watch::EventType;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchEventType {
    /// An object came to be, or to be selected.
    Added,
    /// An object changed.
    Modified,
    /// An object went away, or is no longer selected.
    Deleted,
    /// How far the watch has come.
    Bookmark,
    /// Why the watch ends.
    Error,
}

impl WatchEventType {
    fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
            Self::Error => "ERROR",
        }
    }
}

impl From<EventType> for WatchEventType {
    fn from(r#type: EventType) -> Self {
        match r#type {
            EventType::Added => Self::Added,
            EventType::Modified => Self::Modified,
            EventType::Deleted => Self::Deleted,
        }
    }
}

/// The media type of a sequence of frames.
pub(super) fn content_type(media: Media) -> &'static str {
    match media {
        Media::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Media::Json { .. } | Media::Yaml => media.content_type(),
    }
}

/// The frame of an event about an object, of which the compact JSON is given, complete with kind and version, and how it looks in
/// protobuf.
///
/// # Errors
/// 500 for a media type that events are not written in.
pub(super) fn frame(
    media: Media,
    r#type: WatchEventType,
    message: &'static MessageDescriptor,
    compact: &[u8],
) -> Result<Bytes, Status> {
    match media {
        Media::Json { .. } => Ok(json(r#type, compact)),
        Media::Protobuf => {
            protobuf::watch_event(r#type.name(), message, compact).map(Bytes::from).map_err(Status::hidden)
        }
        Media::Yaml => Err(Status::hidden("a watch was agreed upon in YAML")),
    }
}

/// A frame without what separates it from others: the end of its line, or its length.
pub(super) fn bare(media: Media, frame: &Bytes) -> Bytes {
    const LENGTH: usize = 4;
    match media {
        Media::Protobuf => frame.slice(LENGTH.min(frame.len())..),
        Media::Json { .. } | Media::Yaml => frame.slice(..frame.len().saturating_sub(1)),
    }
}

fn json(r#type: WatchEventType, compact: &[u8]) -> Bytes {
    let (head, middle, tail) = (r#"{"type":""#, r#"","object":"#, "}\n");
    let name = r#type.name();
    let mut out = Vec::with_capacity(head.len() + name.len() + middle.len() + compact.len() + tail.len());
    for part in [head.as_bytes(), name.as_bytes(), middle.as_bytes(), compact, tail.as_bytes()] {
        out.extend_from_slice(part);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::protobuf::STATUS;

    #[test]
    fn a_frame_of_json_is_a_line() {
        let frame =
            frame(Media::Json { pretty: false }, WatchEventType::Bookmark, &STATUS, br#"{"kind":"X"}"#).unwrap();
        assert_eq!(frame, &b"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"X\"}}\n"[..]);
    }
}
