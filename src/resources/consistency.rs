//! Whether all objects of a store can be read, and whether what lies beside the images is what their writing put there.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::stored_entry::{self, StoredEntry};
use super::{packed_view, superseded_images};
use crate::store::{Change, Entry, Key};

/// Compares all entries of a store with each other; keeps no more of them than keys and hashes.
#[derive(Debug, Default)]
pub struct ConsistencyCheck {
    images: u64,
    streams: u64,
    problems: Vec<String>,
    expected: HashMap<Key, u64>,
    found: HashMap<Key, u64>,
    /// The unproved forms of images that the images say are kept, and those that are.
    superseded: (HashSet<Key>, HashSet<Key>),
}

/// What a store holds, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyReport {
    /// How many images there are.
    pub images: u64,
    /// How many streams there are.
    pub streams: u64,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
}

impl ConsistencyCheck {
    /// Takes an entry into account. They may come in any order.
    pub fn visit(&mut self, entry: &Entry) {
        match StoredEntry::read(entry) {
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
            Ok(StoredEntry::Unknown) => self.problems.push(format!("this version knows nothing like {}", entry.key)),
            Err(why) => self.problems.push(why),
        }
    }

    /// What all of them together are worth.
    pub fn finish(self) -> ConsistencyReport {
        let Self { images, streams, mut problems, expected, found, superseded: (referenced, stored_unproved) } = self;
        let missing = expected.keys().filter(|key| !found.contains_key(*key)).map(|key| format!("{key} is missing"));
        let other = found.iter().filter_map(|(key, value)| match expected.get(key) {
            Some(expected) if expected == value => None,
            Some(_) => Some(format!("{key} is not what its image makes it")),
            // The mark of the last change of any list stays when the last list goes.
            None if key.as_str() == super::manifest_lists::MANIFEST_LISTS_KEY => None,
            None => Some(format!("{key} belongs to no image")),
        });
        let lost = referenced.difference(&stored_unproved).map(|key| format!("{key} is missing"));
        let stray = stored_unproved.difference(&referenced).map(|key| format!("{key} belongs to no image"));
        let mut beside: Vec<String> = missing.chain(other).chain(lost).chain(stray).collect();
        beside.sort();
        problems.extend(beside);
        ConsistencyReport { images, streams, problems }
    }
}

/// Hashes what makes two rows under a key the same.
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

    /// As it was read from a request.
    fn list() -> Image {
        let text = r#"{"metadata":{"name":"list"},"dockerImageManifests":[{"digest":"part"}]}"#;
        serde_json::from_str(text).unwrap()
    }

    fn entry(key: &str, value: Vec<u8>) -> Entry {
        Entry { key: Key::new(key), value: value.into(), revision: Revision(7) }
    }

    /// The image with everything that is written beside it.
    fn stored(image: &Image) -> Vec<Entry> {
        let beside = stored_entry::derived_rows(image).into_iter().filter_map(|change| match change {
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
    fn what_was_written_together_agrees() {
        let entries = stored(&list());
        assert_eq!(entries.len(), 4, "the image, its view, its parts and the mark of all lists");
        assert_eq!(problems(&entries), <[String; 0]>::default());
        let left: Vec<_> =
            entries.into_iter().filter(|entry| entry.key.as_str() == "/image.openshift.io/lists").collect();
        assert_eq!(problems(&left), <[String; 0]>::default(), "the mark stays");
    }

    #[test]
    fn each_row_that_is_gone_or_changed_is_told() {
        let entries = stored(&list());
        for at in 0..entries.len() {
            let mut fewer = entries.clone();
            let gone = fewer.remove(at);
            assert!(problems(&fewer).iter().any(|fault| fault.contains("list")), "{}", gone.key);
            let mut changed = entries.clone();
            changed[at].value = b"{}".as_slice().into();
            assert!(!problems(&changed).is_empty(), "{}", gone.key);
        }
    }

    /// The row of a view as it was before messages were cut: a status with a cause for each of 300 problems.
    fn uncut(row: &[u8], code: u16, reason: &str) -> Vec<u8> {
        let fault = |at| format!("images[bad].layers[{at}]: Invalid value: \"\": layer cannot be empty");
        let causes = (0..300).map(|at| StatusCause { message: fault(at), ..StatusCause::default() }).collect();
        let message = format!(" \"\" is invalid: {}", (0..300).map(fault).collect::<Vec<_>>().join(", "));
        let details = Some(StatusDetails { causes, ..StatusDetails::default() });
        let reason = reason.to_owned();
        let status = json::encode(&Status { code, reason, message, details, ..Status::default() });
        // Form, length of the creation time (none here) and marker; length of the status; status.
        let length = u32::try_from(status.len()).unwrap().to_le_bytes();
        [&row[..6], &length, &lz4_flex::block::compress(&status)].concat()
    }

    #[test]
    fn views_without_an_image_agree_in_code_and_reason() {
        let layers = [r#"{"name":"","size":1,"mediaType":""}"#; 300].join(",");
        let bad = format!(r#"{{"metadata":{{"name":"bad"}},"dockerImageLayers":[{layers}]}}"#);
        let bad: Image = serde_json::from_str(&bad).unwrap();
        let entries = stored(&bad);
        let at = entries.iter().position(|entry| entry.key.as_str() == "/image.openshift.io/views/bad").unwrap();
        let faults_with = |row: Vec<u8>| {
            let mut entries = entries.clone();
            entries[at].value = row.into();
            problems(&entries)
        };
        let row = &entries[at].value;
        let old = uncut(row, 422, "Invalid");
        assert!(old != *row, "this version cuts the status");
        assert_eq!(faults_with(old.clone()), <[String; 0]>::default());
        let shown = stored(&Image { docker_image_layers: vec![], ..bad.clone() });
        let shown = shown.into_iter().find(|entry| entry.key == entries[at].key).unwrap().value;
        let cut_off = old[..old.len() - 9].to_vec();
        for other in [uncut(row, 500, "Invalid"), uncut(row, 422, "InternalError"), shown.to_vec(), cut_off] {
            assert_eq!(faults_with(other), ["/image.openshift.io/views/bad is not what its image makes it"]);
        }
    }

    #[test]
    fn the_kept_unproved_form_of_an_image_goes_with_the_image() {
        let mut image = list();
        image.evidence.has_unproved_form = true;
        let mut entries = stored(&image);
        let place = entries.iter_mut().find(|entry| entry.key.as_str().contains("/images/")).unwrap();
        place.value = crate::resources::strategies::ImageStrategy.encode(&image).into();
        assert_eq!(problems(&entries), ["/image.openshift.io/unproved/list is missing"]);
        let kept = entry("/image.openshift.io/unproved/list", json::encode(&list()));
        assert_eq!(problems(std::slice::from_ref(&kept)), ["/image.openshift.io/unproved/list belongs to no image"]);
        entries.push(kept);
        assert_eq!(problems(&entries), <[String; 0]>::default());
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_key() {
        let told = |key: &str, value: &str| problems(&[entry(key, value.into())]).join("; ");
        let place = "/image.openshift.io/images/a";
        assert!(told(place, "{").contains("the object /image.openshift.io/images/a cannot be read"));
        assert!(told(place, r#"{"metadata":{"name":"b"}}"#).contains("another name than its place"));
        let place = "/image.openshift.io/imagestreams/ns/a";
        assert!(told(place, r#"{"metadata":{"name":"a","namespace":"other"}}"#).contains("another name"));
        assert!(told("/image.openshift.io/pods/a", "{}").contains("knows nothing like"));
        assert!(told("elsewhere", "{}").contains("knows nothing like elsewhere"));
    }
}
