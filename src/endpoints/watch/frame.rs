//! Frames: encoded watch events.

use bytes::Bytes;

use crate::endpoints::negotiation::Media;
use crate::machinery::protobuf;
use crate::meta::Status;
use crate::meta::protobuf::MessageDescriptor;
use crate::registry::watch::EventType;

/// The type of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchEventType {
    /// An object was created, or is selected now.
    Added,
    /// An object changed.
    Modified,
    /// An object was deleted, or is no longer selected.
    Deleted,
    /// All changes up to a resource version were sent.
    Bookmark,
    /// The watch ends with this error.
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

/// The media type of a stream of frames.
pub(super) fn content_type(media: Media) -> &'static str {
    match media {
        Media::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Media::Json { .. } | Media::Yaml => media.content_type(),
    }
}

/// The frame of an event with an object, given as compact JSON with kind and version, and as a
/// protobuf message.
///
/// # Errors
/// 500 for YAML, and for an object that protobuf cannot represent.
pub(super) fn frame(
    media: Media,
    r#type: WatchEventType,
    message: &'static MessageDescriptor,
    compact: &[u8],
) -> Result<Bytes, Status> {
    match media {
        Media::Json { .. } => Ok(json(r#type, compact)),
        Media::Protobuf => protobuf::watch_event(r#type.name(), message, compact)
            .map(Bytes::from)
            .map_err(Status::hidden),
        Media::Yaml => Err(Status::hidden("YAML was negotiated for a watch")),
    }
}

/// A frame without its delimiter: the newline, or the length before protobuf.
pub(super) fn without_delimiter(media: Media, frame: &Bytes) -> Bytes {
    const LENGTH: usize = 4;
    match media {
        Media::Protobuf => frame.slice(LENGTH.min(frame.len())..),
        Media::Json { .. } | Media::Yaml => frame.slice(..frame.len().saturating_sub(1)),
    }
}

fn json(r#type: WatchEventType, compact: &[u8]) -> Bytes {
    let (head, middle, tail) = (r#"{"type":""#, r#"","object":"#, "}\n");
    let name = r#type.name();
    let mut out =
        Vec::with_capacity(head.len() + name.len() + middle.len() + compact.len() + tail.len());
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
    fn a_json_frame_is_a_line() {
        let frame = frame(
            Media::Json { pretty: false },
            WatchEventType::Bookmark,
            &STATUS,
            br#"{"kind":"X"}"#,
        )
        .unwrap();
        assert_eq!(frame, &b"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"X\"}}\n"[..]);
    }
}
