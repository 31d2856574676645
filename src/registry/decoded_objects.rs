//! Decoded forms of values that are large or were just written, which later reads and writes clone.
//!
//! Decoding a large object takes milliseconds, while a clone shares its largest parts. A decoded
//! form is found by the bytes that it was decoded from, or encoded to. So it is right whatever
//! became of the write that encoded it. What was just written is often read at once, by controllers
//! and by the next write.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::store::{Entry, Key};

/// The size of values whose decoded form is kept when they are read, in bytes. Smaller ones decode
/// in less than a millisecond.
const LARGE_VALUE: usize = 128 << 10;
/// The size of values whose decoded form is kept when they are written, in bytes.
const WRITTEN_VALUE: usize = 2 << 10;
/// The size of all values whose decoded form is kept, in bytes. With the decoded forms and their
/// JSON they take about four times as much memory.
const MAX_BYTES: usize = 6 << 20;
/// The number of values whose decoded form is kept. A search compares the keys of all.
const MAX_OBJECTS: usize = 64;

/// The decoded forms that were used last.
pub(super) struct DecodedObjects<T>(Mutex<Recent<T>>);

struct Recent<T> {
    /// The most recently used one is the last.
    objects: VecDeque<DecodedObject<T>>,
    /// The size of all values.
    bytes: usize,
}

struct DecodedObject<T> {
    key: Key,
    value: Bytes,
    object: Arc<T>,
}

impl<T: Clone> DecodedObjects<T> {
    /// No objects.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Recent { objects: VecDeque::new(), bytes: 0 }))
    }

    /// A clone of the decoded form of an entry.
    pub(super) fn get(&self, entry: &Entry) -> Option<T> {
        if !is_kept_if_written(&entry.value) {
            return None;
        }
        let object = {
            let mut recent = self.0.lock();
            let at = recent.objects.iter().rposition(|known| known.is_of(entry))?;
            let found = recent.objects.remove(at)?;
            let object = found.object.clone();
            recent.objects.push_back(found);
            object
        };
        Some(Arc::unwrap_or_clone(object))
    }

    /// Keeps the decoded form of a value whose size [is right](is_kept_if_written).
    pub(super) fn insert(&self, key: &Key, value: &Bytes, object: T) {
        let (key, value, object) = (key.clone(), value.clone(), Arc::new(object));
        let mut recent = self.0.lock();
        recent.bytes += value.len();
        recent.objects.push_back(DecodedObject { key, value, object });
        while (recent.bytes > MAX_BYTES || recent.objects.len() > MAX_OBJECTS)
            && let Some(oldest) = recent.objects.pop_front()
        {
            recent.bytes -= oldest.value.len();
        }
    }
}

/// Returns true if the decoded form of a value that was read is worth keeping.
pub(super) fn is_kept_if_read(value: &[u8]) -> bool {
    (LARGE_VALUE..=MAX_BYTES).contains(&value.len())
}

/// Returns true if the decoded form of a value that is written is worth keeping.
pub(super) fn is_kept_if_written(value: &[u8]) -> bool {
    (WRITTEN_VALUE..=MAX_BYTES).contains(&value.len())
}

impl<T> DecodedObject<T> {
    fn is_of(&self, entry: &Entry) -> bool {
        let is_same = self.value.as_ptr() == entry.value.as_ptr();
        self.key == entry.key
            && self.value.len() == entry.value.len()
            && (is_same || self.value == entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Revision;

    fn entry(key: &str, byte: u8, bytes: usize) -> Entry {
        Entry { key: Key::new(key), value: vec![byte; bytes].into(), revision: Revision(1) }
    }

    #[test]
    fn objects_are_found_by_key_and_value() {
        let objects = DecodedObjects::new();
        let known = entry("/a", 1, LARGE_VALUE);
        objects.insert(&known.key, &known.value, "decoded");
        assert_eq!(objects.get(&known), Some("decoded"));
        let copy = entry("/a", 1, LARGE_VALUE);
        assert_eq!(objects.get(&copy), Some("decoded"), "other memory, same bytes");
        for other in [("/b", 1, LARGE_VALUE), ("/a", 2, LARGE_VALUE), ("/a", 1, LARGE_VALUE + 1)] {
            assert_eq!(objects.get(&entry(other.0, other.1, other.2)), None, "{other:?}");
        }
    }

    #[test]
    fn least_recently_used_objects_make_room() {
        let objects = DecodedObjects::new();
        let entries = [1, 2, 3].map(|byte| entry("/a", byte, MAX_BYTES / 2));
        for each in &entries[..2] {
            objects.insert(&each.key, &each.value, each.value[0]);
        }
        assert_eq!(objects.get(&entries[0]), Some(1));
        objects.insert(&entries[2].key, &entries[2].value, 3);
        assert_eq!([0, 1, 2].map(|at| objects.get(&entries[at])), [Some(1), None, Some(3)]);
    }

    #[test]
    fn only_values_of_some_size_are_kept() {
        for (bytes, if_written, if_read) in [
            (WRITTEN_VALUE - 1, false, false),
            (WRITTEN_VALUE, true, false),
            (LARGE_VALUE, true, true),
            (MAX_BYTES, true, true),
            (MAX_BYTES + 1, false, false),
        ] {
            let value = vec![0; bytes];
            let kept = (is_kept_if_written(&value), is_kept_if_read(&value));
            assert_eq!(kept, (if_written, if_read), "{bytes}");
        }
    }

    #[test]
    fn number_of_objects_is_limited() {
        let objects = DecodedObjects::new();
        let entries: Vec<Entry> =
            (0..=MAX_OBJECTS).map(|byte| entry("/a", byte as u8, WRITTEN_VALUE)).collect();
        for each in &entries {
            objects.insert(&each.key, &each.value, each.value[0]);
        }
        assert_eq!([0, 1].map(|at| objects.get(&entries[at])), [None, Some(1)]);
    }
}
