//! A consistency check of a store: each object must decode, and each derived row must match its
//! image.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::openshift_layout::StoredForm;
use super::stored_entry::{self, StoredEntry};
use super::{packed_view, superseded_images};
use crate::store::{Change, Entry, Key};

/// A check of all entries of a store. It keeps only their keys and hashes.
#[derive(Debug, Default)]
pub struct ConsistencyCheck {
    images: u64,
    streams: u64,
    problems: Vec<String>,
    expected: HashMap<Key, u64>,
    found: HashMap<Key, u64>,
    /// Keys of superseded images: those that images refer to, and those that are stored.
    superseded: (HashSet<Key>, HashSet<Key>),
}

/// The result of a consistency check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyReport {
    /// The number of images.
    pub images: u64,
    /// The number of streams.
    pub streams: u64,
    /// The problems, one sentence each.
    pub problems: Vec<String>,
}

impl ConsistencyCheck {
    /// Checks an entry. Entries may come in any order.
    pub fn visit(&mut self, entry: &Entry) {
        match StoredEntry::read(entry, StoredForm::Own) {
            Ok(StoredEntry::Image(image)) => {
                self.images += 1;
                if image.evidence.has_unproved_form {
                    self.superseded.0.insert(superseded_images::key(&image.metadata.name));
                }
                for change in stored_entry::derived_rows(&image) {
                    if let Change::Put(key, value) = change {
                        let hash = hash(&key, &value);
                        self.expected.insert(key, hash);
                    }
                }
            }
            Ok(StoredEntry::Stream(_)) => self.streams += 1,
            Ok(StoredEntry::Derived) => {
                self.found.insert(entry.key.clone(), hash(&entry.key, &entry.value));
            }
            Ok(StoredEntry::Superseded(_)) => {
                self.superseded.1.insert(entry.key.clone());
            }
            // A row without its stream is replaced when a stream of that name is imported.
            Ok(StoredEntry::Sources) => {}
            Ok(StoredEntry::Unknown) => {
                self.problems.push(format!("this version does not know the key {}", entry.key))
            }
            Err(why) => self.problems.push(why),
        }
    }

    /// Compares the entries with each other and returns the report.
    pub fn finish(self) -> ConsistencyReport {
        let Self {
            images,
            streams,
            mut problems,
            expected,
            found,
            superseded: (referenced, stored_unproved),
        } = self;
        let missing = expected
            .keys()
            .filter(|key| !found.contains_key(*key))
            .map(|key| format!("{key} is missing"));
        let other = found.iter().filter_map(|(key, value)| match expected.get(key) {
            Some(expected) if expected == value => None,
            Some(_) => Some(format!("{key} is not what its image makes it")),
            // This row stays when the last manifest list is deleted.
            None if key.as_str() == super::manifest_lists::MANIFEST_LISTS_KEY => None,
            None => Some(format!("{key} belongs to no image")),
        });
        let lost = referenced.difference(&stored_unproved).map(|key| format!("{key} is missing"));
        let stray =
            stored_unproved.difference(&referenced).map(|key| format!("{key} belongs to no image"));
        let mut beside: Vec<String> = missing.chain(other).chain(lost).chain(stray).collect();
        beside.sort();
        problems.extend(beside);
        ConsistencyReport { images, streams, problems }
    }
}

/// Hashes the parts of a row that must match.
fn hash(key: &Key, row: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    packed_view::comparable(key, row).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Image;
    use crate::machinery::json;
    use crate::meta::{Status, StatusCause, StatusDetails};
    use crate::registry::strategy::Strategy;
    use crate::store::Revision;

    /// A manifest list as a request contains it.
    fn list() -> Image {
        let text = r#"{"metadata":{"name":"list"},"dockerImageManifests":[{"digest":"child"}]}"#;
        serde_json::from_str(text).unwrap()
    }

    fn entry(key: &str, value: Vec<u8>) -> Entry {
        Entry { key: Key::new(key), value: value.into(), revision: Revision(7) }
    }

    /// An image with its derived rows.
    fn stored(image: &Image) -> Vec<Entry> {
        let beside =
            stored_entry::derived_rows(image).into_iter().filter_map(|change| match change {
                Change::Put(key, value) => Some(Entry { key, value, revision: Revision(7) }),
                Change::Delete(_) => None,
            });
        let key = format!("/image.openshift.io/images/{}", image.metadata.name);
        beside.chain([entry(&key, json::encode(image))]).collect()
    }

    fn problems(entries: &[Entry]) -> Vec<String> {
        let mut check = ConsistencyCheck::default();
        entries.iter().for_each(|entry| check.visit(entry));
        check.finish().problems
    }

    #[test]
    fn rows_of_one_write_are_consistent() {
        let entries = stored(&list());
        assert_eq!(entries.len(), 4, "the image, its view, its children and the row of all lists");
        assert_eq!(problems(&entries), <[String; 0]>::default());
        let left: Vec<_> = entries
            .into_iter()
            .filter(|entry| entry.key.as_str() == "/image.openshift.io/lists")
            .collect();
        assert_eq!(problems(&left), <[String; 0]>::default(), "the row of all lists stays");
    }

    #[test]
    fn missing_or_changed_rows_are_reported() {
        let entries = stored(&list());
        for at in 0..entries.len() {
            let mut fewer = entries.clone();
            let gone = fewer.remove(at);
            assert!(
                problems(&fewer).iter().any(|problem| problem.contains("list")),
                "{}",
                gone.key
            );
            let mut changed = entries.clone();
            changed[at].value = b"{}".as_slice().into();
            assert!(!problems(&changed).is_empty(), "{}", gone.key);
        }
    }

    /// The row of a view with a Status of 300 causes, from a version that did not truncate messages.
    fn uncut(code: u16, reason: &str) -> Vec<u8> {
        let error =
            |at| format!("images[bad].layers[{at}]: Invalid value: \"\": layer cannot be empty");
        let causes = (0..300)
            .map(|at| StatusCause { message: error(at), ..StatusCause::default() })
            .collect();
        let message =
            format!(" \"\" is invalid: {}", (0..300).map(error).collect::<Vec<_>>().join(", "));
        let details = Some(StatusDetails { causes, ..StatusDetails::default() });
        let reason = reason.to_owned();
        let status = json::encode(&Status { code, reason, message, details, ..Status::default() });
        // Format, length of the creation time, marker, length of the Status, Status.
        let length = u32::try_from(status.len()).unwrap().to_le_bytes();
        let head = [2, 0, 255, 255, 255, 255];
        [&head[..], &length, &lz4_flex::block::compress(&status)].concat()
    }

    #[test]
    fn error_views_are_compared_by_code_and_reason() {
        let layers = [r#"{"name":"","size":1,"mediaType":""}"#; 300].join(",");
        let bad = format!(r#"{{"metadata":{{"name":"bad"}},"dockerImageLayers":[{layers}]}}"#);
        let bad: Image = serde_json::from_str(&bad).unwrap();
        let entries = stored(&bad);
        let at = entries
            .iter()
            .position(|entry| entry.key.as_str() == "/image.openshift.io/views/bad")
            .unwrap();
        let problems_with = |row: Vec<u8>| {
            let mut entries = entries.clone();
            entries[at].value = row.into();
            problems(&entries)
        };
        let row = &entries[at].value;
        let old = uncut(422, "Invalid");
        assert!(old != *row, "this version cuts the status");
        assert_eq!(problems_with(old.clone()), <[String; 0]>::default());
        let shown = stored(&Image { docker_image_layers: vec![], ..bad.clone() });
        let shown = shown.into_iter().find(|entry| entry.key == entries[at].key).unwrap().value;
        let cut_off = old[..old.len() - 9].to_vec();
        for other in [uncut(500, "Invalid"), uncut(422, "InternalError"), shown.to_vec(), cut_off] {
            assert_eq!(
                problems_with(other),
                ["/image.openshift.io/views/bad is not what its image makes it"]
            );
        }
    }

    #[test]
    fn superseded_image_needs_its_image() {
        let mut image = list();
        image.evidence.has_unproved_form = true;
        let mut entries = stored(&image);
        let image_entry =
            entries.iter_mut().find(|entry| entry.key.as_str().contains("/images/")).unwrap();
        image_entry.value =
            crate::resources::strategies::ImageStrategy::default().encode(&image).into();
        assert_eq!(problems(&entries), ["/image.openshift.io/unproved/list is missing"]);
        let kept = entry("/image.openshift.io/unproved/list", json::encode(&list()));
        assert_eq!(
            problems(std::slice::from_ref(&kept)),
            ["/image.openshift.io/unproved/list belongs to no image"]
        );
        entries.push(kept);
        assert_eq!(problems(&entries), <[String; 0]>::default());
    }

    #[test]
    fn unreadable_entries_are_reported_by_key() {
        let report = |key: &str, value: &str| problems(&[entry(key, value.into())]).join("; ");
        let key = "/image.openshift.io/images/a";
        assert!(
            report(key, "{").contains("the object /image.openshift.io/images/a cannot be read")
        );
        assert!(
            report(key, r#"{"metadata":{"name":"b"}}"#)
                .contains("does not match the name in its key")
        );
        let key = "/image.openshift.io/imagestreams/ns/a";
        assert!(
            report(key, r#"{"metadata":{"name":"a","namespace":"other"}}"#)
                .contains("does not match the name")
        );
        assert!(report("/image.openshift.io/pods/a", "{}").contains("does not know the key"));
        assert!(report("elsewhere", "{}").contains("does not know the key elsewhere"));
    }
}
