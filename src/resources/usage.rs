//! Usage of the store: objects, bytes and the largest object of each stored resource, and the
//! number of tag events. It is updated by the differences that a [`Scan`](crate::store::Scan)
//! reports.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::api::GROUP;
use crate::store::{ScanVisitor, ValueChange};

/// A stored resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredResource {
    /// Images.
    Images,
    /// Streams.
    ImageStreams,
}

impl StoredResource {
    /// All stored resources.
    pub const ALL: [Self; 2] = [Self::Images, Self::ImageStreams];

    /// The plural name of the resource.
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::ImageStreams => "imagestreams",
        }
    }

    /// The prefix of the keys.
    pub fn prefix(self) -> String {
        format!("/{GROUP}/{}/", self.name())
    }
}

/// The usage of one resource.
#[derive(Clone, Debug, Default)]
pub struct ResourceStats {
    /// The number of objects.
    pub objects: u64,
    /// The stored size of all objects, in bytes.
    pub bytes: u64,
    largest: LargestObjects,
}

impl ResourceStats {
    /// The largest object; none if there is no object, or if it is unknown until the next count.
    pub fn largest(&self) -> Option<LargestObject<'_>> {
        self.largest.objects.last().map(|(bytes, name)| LargestObject { name, bytes: *bytes })
    }

    /// Returns true if [`Self::largest`] is unknown until the next count.
    fn needs_recount(&self) -> bool {
        self.objects > 0 && self.largest.objects.is_empty()
    }

    fn record(&mut self, name: &str, before: Option<u64>, after: Option<u64>) {
        self.objects += u64::from(after.is_some());
        self.objects = self.objects.saturating_sub(u64::from(before.is_some()));
        self.bytes =
            (self.bytes + after.unwrap_or_default()).saturating_sub(before.unwrap_or_default());
        self.largest.record(name, before, after);
    }
}

/// An object with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargestObject<'a> {
    /// The name, with the namespace if there is one.
    pub name: &'a str,
    /// The stored size, in bytes.
    pub bytes: u64,
}

/// The largest objects. All others are at most as large as the bound.
#[derive(Clone, Debug, Default)]
struct LargestObjects {
    objects: BTreeSet<(u64, String)>,
    bound: u64,
}

impl LargestObjects {
    /// The number of largest objects to keep, so that deletes seldom require a new count.
    const CAPACITY: usize = 64;

    fn record(&mut self, name: &str, before: Option<u64>, after: Option<u64>) {
        if let Some(bytes) = before {
            self.objects.remove(&(bytes, name.to_owned()));
        }
        if let Some(bytes) = after.filter(|bytes| *bytes > self.bound || self.bound == 0) {
            self.objects.insert((bytes, name.to_owned()));
        }
        if self.objects.len() > Self::CAPACITY
            && let Some((bytes, _)) = self.objects.pop_first()
        {
            self.bound = bytes;
        }
    }
}

/// The usage of a store.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    images: ResourceStats,
    streams: ResourceStats,
    /// The number of events in the histories of all tags.
    pub tag_events: u64,
}

impl Usage {
    /// The usage of one resource.
    pub fn of(&self, resource: StoredResource) -> &ResourceStats {
        match resource {
            StoredResource::Images => &self.images,
            StoredResource::ImageStreams => &self.streams,
        }
    }

    /// Returns true if the store must be counted again.
    pub fn needs_recount(&self) -> bool {
        self.images.needs_recount() || self.streams.needs_recount()
    }
}

impl ScanVisitor for Usage {
    fn begin(&mut self) {
        *self = Self::default();
    }

    fn visit(&mut self, ValueChange { key, before, after }: ValueChange<'_>) {
        let found =
            StoredResource::ALL.map(|resource| (resource, key.strip_prefix(&*resource.prefix())));
        for (resource, name) in found {
            let Some(name) = name else { continue };
            let bytes = |value: Option<&[u8]>| value.map(|value| value.len() as u64);
            match resource {
                StoredResource::Images => self.images.record(name, bytes(before), bytes(after)),
                StoredResource::ImageStreams => {
                    self.streams.record(name, bytes(before), bytes(after));
                    let events = self.tag_events + after.map_or(0, tag_events);
                    self.tag_events = events.saturating_sub(before.map_or(0, tag_events));
                }
            }
        }
    }
}

/// The number of events in the histories of a stream; 0 if the value is not a stream.
fn tag_events(stream: &[u8]) -> u64 {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct StreamHistory {
        status: Option<StatusHistory>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct StatusHistory {
        tags: Option<Vec<TagItems>>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct TagItems {
        items: Option<Vec<IgnoredAny>>,
    }
    let stream: StreamHistory = serde_json::from_slice(stream).unwrap_or_default();
    let tags = stream.status.and_then(|status| status.tags).unwrap_or_default();
    tags.into_iter().map(|tag| tag.items.map_or(0, |items| items.len() as u64)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(usage: &mut Usage, name: &str, before: Option<usize>, after: Option<usize>) {
        let value = |bytes: Option<usize>| bytes.map(|bytes| vec![b'x'; bytes]);
        let (key, before, after) =
            (format!("/image.openshift.io/images/{name}"), value(before), value(after));
        usage.visit(ValueChange { key: &key, before: before.as_deref(), after: after.as_deref() });
    }

    fn largest(usage: &Usage) -> Option<(&str, u64)> {
        usage.images.largest().map(|large| (large.name, large.bytes))
    }

    #[test]
    fn usage_follows_creates_updates_and_deletes() {
        let mut usage = Usage::default();
        image(&mut usage, "a", None, Some(10));
        image(&mut usage, "b", None, Some(20));
        image(&mut usage, "a", Some(10), Some(15));
        assert_eq!((usage.images.objects, usage.images.bytes), (2, 35));
        image(&mut usage, "b", Some(20), None);
        assert_eq!(
            (usage.images.objects, usage.images.bytes, largest(&usage)),
            (1, 15, Some(("a", 15)))
        );
        assert_eq!(usage.streams.objects, 0, "only images were stored");
        usage.begin();
        assert_eq!((usage.images.objects, usage.images.bytes, largest(&usage)), (0, 0, None));
    }

    #[test]
    fn tag_events_of_malformed_streams_count_as_0() {
        let mut usage = Usage::default();
        let mut change = |before: Option<&str>, after: Option<&str>| {
            let [before, after] = [before, after].map(|value| value.map(str::as_bytes));
            usage.visit(ValueChange {
                key: "/image.openshift.io/imagestreams/ns/s",
                before,
                after,
            });
            usage.tag_events
        };
        let two = r#"{"status":{"tags":[{"tag":"a","items":[{"image":"x"},{}]},{"tag":"b","items":null}]},"spec":{}}"#;
        assert_eq!(change(None, Some(two)), 2);
        let three = r#"{"status":{"tags":[{"items":[{}]},{"items":[{},{}]},{}]}}"#;
        assert_eq!(change(Some(two), Some(three)), 3);
        assert_eq!(change(Some(three), Some(r#"{"status":{"tags":7}}"#)), 0);
        assert_eq!(change(None, Some("{\"status\":")), 0);
        assert_eq!(change(None, Some("")), 0);
    }

    #[test]
    fn largest_objects_are_exact_or_unknown() {
        let mut usage = Usage::default();
        let name = |bytes: usize| format!("image-{bytes}");
        for bytes in 1..=200 {
            image(&mut usage, &name(bytes), None, Some(bytes));
        }
        for bytes in (201 - LargestObjects::CAPACITY..=200).rev() {
            assert_eq!(largest(&usage), Some((&*name(bytes), bytes as u64)));
            assert!(!usage.needs_recount());
            image(&mut usage, &name(bytes), Some(bytes), None);
        }
        assert_eq!(largest(&usage), None);
        assert!(usage.needs_recount(), "the remaining objects were never ranked");
        image(&mut usage, "new", None, Some(5));
        assert_eq!(largest(&usage), None, "the largest object is still unknown");
    }
}
