//! The revision of each key. The keys are loaded in their order, while the changes since the
//! beginning of the load arrive already.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::store::{Key, Revision};

/// The index of revisions at the position of a feed.
pub(super) struct KeyIndex {
    /// The keys that are loaded, and those that were put since the load began.
    revisions: BTreeMap<Key, Revision>,
    /// The rest of the load; `None` if all keys are loaded.
    missing: Option<MissingKeys>,
}

/// The keys that are not loaded yet.
struct MissingKeys {
    /// All of them are greater.
    after: Key,
    /// Those that were deleted since the load began.
    deleted: BTreeSet<Key>,
}

/// The state of a key according to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indexed {
    /// The key is not loaded yet.
    Unknown,
    /// The key has no value.
    Missing,
    /// The key has the value of this revision.
    At(Revision),
}

/// The next keys in order, as of the beginning of the load.
#[derive(Debug, Default)]
pub(super) struct IndexPage {
    /// The keys with their revisions.
    pub(super) keys: Vec<(Key, Revision)>,
    /// True for the last page.
    pub(super) is_last: bool,
}

impl Default for KeyIndex {
    fn default() -> Self {
        // No key is that small.
        let missing = MissingKeys { after: Key::new(""), deleted: BTreeSet::new() };
        Self { revisions: BTreeMap::new(), missing: Some(missing) }
    }
}

impl KeyIndex {
    /// The state of a key.
    pub(super) fn get(&self, key: &Key) -> Indexed {
        match (self.revisions.get(key), &self.missing) {
            (Some(revision), _) => Indexed::At(*revision),
            (None, Some(missing)) if missing.covers(key) => Indexed::Unknown,
            (None, _) => Indexed::Missing,
        }
    }

    /// The last key from `first` on and before `end`; `None` if keys are not loaded yet.
    pub(super) fn last(&self, first: Key, end: Bound<Key>) -> Option<Option<Key>> {
        let mut found = self.revisions.range((Bound::Included(first), end));
        self.missing.is_none().then(|| found.next_back().map(|(key, _)| key.clone()))
    }

    /// Takes over a page of the load. Later changes of its keys stay.
    pub(super) fn load(&mut self, page: IndexPage) {
        let Some(missing) = &mut self.missing else { return };
        if let Some((last, _)) = page.keys.last() {
            missing.after = last.clone();
        }
        for (key, revision) in page.keys {
            if !missing.deleted.remove(&key) {
                self.revisions.entry(key).or_insert(revision);
            }
        }
        if page.is_last {
            self.missing = None;
        }
    }

    /// Takes over that a key was put.
    pub(super) fn put(&mut self, key: &Key, revision: Revision) {
        self.revisions.insert(key.clone(), revision);
        if let Some(missing) = &mut self.missing {
            missing.deleted.remove(key);
        }
    }

    /// Takes over that a key was deleted.
    pub(super) fn delete(&mut self, key: &Key) {
        self.revisions.remove(key);
        if let Some(missing) = &mut self.missing
            && *key > missing.after
        {
            missing.deleted.insert(key.clone());
        }
    }
}

impl MissingKeys {
    fn covers(&self, key: &Key) -> bool {
        *key > self.after && !self.deleted.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str], is_last: bool) -> IndexPage {
        let keys = keys.iter().map(|key| (Key::new(*key), Revision(3))).collect();
        IndexPage { keys, is_last }
    }

    fn states(index: &KeyIndex, keys: [&str; 5]) -> [Indexed; 5] {
        keys.map(|key| index.get(&Key::new(key)))
    }

    #[test]
    fn keys_are_unknown_until_they_are_loaded() {
        use Indexed::{At, Missing, Unknown};
        let keys = ["/a", "/b", "/c", "/d", "/e"];
        let mut index = KeyIndex::default();
        assert_eq!(states(&index, keys), [Unknown; 5]);
        index.load(page(&["/b", "/c"], false));
        let loaded = At(Revision(3));
        assert_eq!(states(&index, keys), [Missing, loaded, loaded, Unknown, Unknown]);
        index.load(page(&["/d"], true));
        assert_eq!(states(&index, keys), [Missing, loaded, loaded, loaded, Missing]);
    }

    #[test]
    fn changes_during_the_load_prevail_over_its_pages() {
        use Indexed::{At, Missing, Unknown};
        let (a, b, c, d) = (Key::new("/a"), Key::new("/b"), Key::new("/c"), Key::new("/d"));
        let mut index = KeyIndex::default();
        index.delete(&a);
        index.put(&b, Revision(6));
        index.delete(&c);
        index.delete(&d);
        index.put(&d, Revision(7));
        let keys = ["/a", "/b", "/c", "/d", "/e"];
        let [at_6, at_7] = [6, 7].map(|at| At(Revision(at)));
        assert_eq!(states(&index, keys), [Missing, at_6, Missing, at_7, Unknown]);
        index.load(page(&["/a", "/b"], false));
        index.delete(&b);
        index.load(page(&["/c", "/d", "/e"], true));
        assert_eq!(states(&index, keys), [Missing, Missing, Missing, at_7, At(Revision(3))]);
    }

    #[test]
    fn last_key_is_unknown_until_all_are_loaded() {
        let mut index = KeyIndex::default();
        index.load(page(&["/a"], false));
        let last = |index: &KeyIndex| index.last(Key::new("/"), Bound::Unbounded);
        assert_eq!(last(&index), None);
        index.load(page(&[], true));
        assert_eq!(last(&index), Some(Some(Key::new("/a"))));
    }
}
