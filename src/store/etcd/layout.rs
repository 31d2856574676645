//! The keys of a store in etcd.
//!
//! ```text
//! <prefix>/data<key>    a key of the store with its value
//! <prefix>/fence        put to fail every older transaction that is not applied yet
//! <prefix>/rev          the sentinel: every transaction puts its write ID here, or deletes it
//! <prefix>/term/<work>  the replica that is elected for some work, bound to its lease
//! <prefix>/write        for shared keys: every transaction puts its write ID here
//! ```
//!
//! The modification revision of the sentinel is the latest revision of the store. An etcd without
//! space refuses to put it, but not to delete it: then the revision of etcd takes its place until
//! the next transaction puts the sentinel again. The creation revision of the fence is the first
//! revision of the store. One watch covers data, fence and sentinel, because their keys are
//! neighbours.
//!
//! Shared keys are elsewhere, where another program has them too. The watch then covers them and
//! nothing else, and there is no sentinel: the latest revision is always that of etcd. The key of
//! write IDs tells the writes of this program from equal ones, such as two deletions of one key.

use std::borrow::Cow;

use crate::store::{Key, SharedKeys};

/// The keys below one prefix.
#[derive(Debug)]
pub(super) struct Layout {
    data: String,
    fence: String,
    sentinel: String,
    terms: String,
    last_write: String,
    shared: Option<SharedKeys>,
}

/// A key of the store, or one that the store keeps beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoredKey<'a> {
    /// A key of the store.
    Data(Cow<'a, str>),
    /// The fence.
    Fence,
    /// The sentinel.
    Sentinel,
    /// Nothing that this program writes.
    Foreign,
}

impl Layout {
    /// The layout below a prefix. A slash at the end of the prefix makes no difference.
    pub(super) fn new(prefix: &str, shared: Option<SharedKeys>) -> Self {
        let prefix = prefix.trim_end_matches('/');
        Self {
            data: format!("{prefix}/data"),
            fence: format!("{prefix}/fence"),
            sentinel: format!("{prefix}/rev"),
            terms: format!("{prefix}/term/"),
            last_write: format!("{prefix}/write"),
            shared,
        }
    }

    /// Returns true if other programs write keys of the store too.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Returns true if the watch covers a key of the store.
    pub(super) fn is_watched(&self, key: &str) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.place(key).is_some())
    }

    /// The key in etcd of a key of the store.
    pub(super) fn data(&self, key: &Key) -> Vec<u8> {
        self.place(key.as_str())
    }

    /// The first key and the end of the keys of the store under a prefix, from `start` on; `None`
    /// if the start lies behind all of them.
    pub(super) fn range(&self, prefix: &str, start: Option<&str>) -> Option<(Vec<u8>, Vec<u8>)> {
        let first = start.unwrap_or_default().max(prefix);
        let (first, end) = match &self.shared {
            // All shared keys, among others.
            Some(shared) if shared.store_prefix.starts_with(prefix) => {
                let (all, end) = shared.all();
                (shared.place(first).map_or(all, String::into_bytes), end)
            }
            _ => (self.place(first), after(self.place(prefix))),
        };
        (first < end).then_some((first, end))
    }

    /// The first key and the end of what the watch of a store covers.
    pub(super) fn watched(&self) -> (Vec<u8>, Vec<u8>) {
        match &self.shared {
            Some(shared) => shared.all(),
            None => (self.place(""), after(self.sentinel())),
        }
    }

    /// The first key and the end of fence and sentinel.
    pub(super) fn own(&self) -> (Vec<u8>, Vec<u8>) {
        (self.fence(), after(self.sentinel()))
    }

    pub(super) fn fence(&self) -> Vec<u8> {
        self.fence.clone().into_bytes()
    }

    pub(super) fn sentinel(&self) -> Vec<u8> {
        self.sentinel.clone().into_bytes()
    }

    /// The key of the write ID of the latest transaction on shared keys.
    pub(super) fn last_write(&self) -> Vec<u8> {
        self.last_write.clone().into_bytes()
    }

    /// The key of the replica that is elected for some work.
    pub(super) fn term(&self, work: &str) -> Vec<u8> {
        format!("{}{work}", self.terms).into_bytes()
    }

    /// The meaning of a key in etcd.
    pub(super) fn read<'a>(&self, key: &'a [u8]) -> StoredKey<'a> {
        let Ok(key) = std::str::from_utf8(key) else { return StoredKey::Foreign };
        if let Some(key) = self.shared.as_ref().and_then(|shared| shared.key(key)) {
            return StoredKey::Data(Cow::Owned(key));
        }
        match key.strip_prefix(&self.data) {
            Some(data) => StoredKey::Data(Cow::Borrowed(data)),
            None if key == self.sentinel => StoredKey::Sentinel,
            None if key == self.fence => StoredKey::Fence,
            None => StoredKey::Foreign,
        }
    }

    fn place(&self, key: &str) -> Vec<u8> {
        let shared = self.shared.as_ref().and_then(|shared| shared.place(key));
        shared.unwrap_or_else(|| format!("{}{key}", self.data)).into_bytes()
    }
}

impl SharedKeys {
    /// The place in etcd of a key or prefix of the store; `None` if it is not shared.
    fn place(&self, key: &str) -> Option<String> {
        let rest = key.strip_prefix(&self.store_prefix)?;
        self.is_shared(rest).then(|| format!("{}{rest}", self.etcd_prefix))
    }

    /// The key in the store of a key in etcd; `None` if it is not shared.
    fn key(&self, place: &str) -> Option<String> {
        let rest = place.strip_prefix(&self.etcd_prefix)?;
        self.is_shared(rest).then(|| format!("{}{rest}", self.store_prefix))
    }

    fn is_shared(&self, rest: &str) -> bool {
        self.collections.iter().any(|collection| rest.starts_with(collection))
    }

    /// The first key and the end of all shared keys in etcd.
    fn all(&self) -> (Vec<u8>, Vec<u8>) {
        let place = |collection: Option<&String>| {
            let collection = collection.map(String::as_str).unwrap_or_default();
            format!("{}{collection}", self.etcd_prefix).into_bytes()
        };
        (place(self.collections.first()), after(place(self.collections.last())))
    }
}

/// The end of the range of all keys with a prefix. No byte of UTF-8 is 0xff.
fn after(mut prefix: Vec<u8>) -> Vec<u8> {
    if let Some(last) = prefix.last_mut() {
        *last += 1;
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_placed() {
        let layout = Layout::new("/p/", None);
        assert_eq!(layout.data(&Key::new("/a")), b"/p/data/a");
        assert_eq!(layout.read(b"/p/data/a"), StoredKey::Data("/a".into()));
        assert_eq!(layout.read(&layout.sentinel()), StoredKey::Sentinel);
        assert_eq!(layout.read(&layout.fence()), StoredKey::Fence);
        assert_eq!(layout.read(&layout.term("work")), StoredKey::Foreign);
        assert_eq!(layout.read(b"/p/\xff"), StoredKey::Foreign);
    }

    #[test]
    fn watch_covers_all_but_the_terms() {
        let layout = Layout::new("/p", None);
        let (first, end) = layout.watched();
        for covered in [layout.data(&Key::new("\u{10ffff}")), layout.fence(), layout.sentinel()] {
            assert!(first <= covered && covered < end, "{covered:?}");
        }
        assert!(layout.term("work") >= end);
    }

    #[test]
    fn range_starts_inside_of_its_prefix() {
        let layout = Layout::new("/p", None);
        let range = |prefix, start| layout.range(prefix, start);
        assert_eq!(range("/b/", Some("/a")), range("/b/", None));
        assert_eq!(range("/b/", Some("/c")), None);
        assert_eq!(range("", None).unwrap().1, b"/p/datb");
    }

    #[test]
    fn shared_keys_have_places_of_their_own() {
        let layout = Layout::new(
            "/p",
            Some(SharedKeys {
                store_prefix: "/g/".to_owned(),
                etcd_prefix: "/o/".to_owned(),
                collections: ["images/", "imagestreams/"].map(str::to_owned).into(),
            }),
        );
        for (key, place) in [
            ("/g/images/i", "/o/images/i"),
            ("/g/imagestreams/ns/s", "/o/imagestreams/ns/s"),
            ("/g/importsources/ns/s", "/p/data/g/importsources/ns/s"),
            ("/h/images/i", "/p/data/h/images/i"),
        ] {
            assert_eq!(layout.data(&Key::new(key)), place.as_bytes());
            assert_eq!(layout.read(place.as_bytes()), StoredKey::Data(key.into()));
            assert_eq!(layout.is_watched(key), place.starts_with("/o/"), "{key}");
        }
        assert_eq!(layout.read(b"/o/routes/r"), StoredKey::Foreign);
        let all = (b"/o/images/".to_vec(), b"/o/imagestreams0".to_vec());
        assert_eq!(layout.watched(), all);
        assert_eq!(layout.range("", None), Some(all));
        let streams = (b"/o/imagestreams/b/s".to_vec(), b"/o/imagestreams/b0".to_vec());
        assert_eq!(layout.range("/g/imagestreams/b/", Some("/g/imagestreams/b/s")), Some(streams));
    }
}
