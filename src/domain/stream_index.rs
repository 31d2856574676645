//! `StreamIndex`: lookup of a stream's images by name, prefix of the name or prefix of the hash.

use std::ops::Range;

use super::digest;
use crate::api::ImageStream;

/// Names of all images in a stream, sorted by name and by hash for binary search.
///
/// The names are stored in one text, which is faster to search than scattered strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamIndex {
    /// Names in byte order, without duplicates and empty names.
    text: Box<str>,
    /// End of each name in `text`.
    ends: Box<[u32]>,
    /// Positions of the names that are digests, in the order of their hex parts.
    by_hex: Box<[u32]>,
}

/// Images that match an ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matches<'a> {
    /// No image.
    None,
    /// One image.
    One(&'a str),
    /// Several images, in byte order.
    Several(Vec<&'a str>),
}

impl StreamIndex {
    /// Indexes the images in the history of all tags.
    pub fn of(stream: &ImageStream) -> Self {
        Self::with(stream, std::iter::empty())
    }

    /// Indexes the images in the history and `more` names, such as those of the children of
    /// manifest lists.
    pub fn with(stream: &ImageStream, more: impl IntoIterator<Item = String>) -> Self {
        let events = stream.status.tags.iter().flat_map(|tag| &tag.items);
        Self::from_names(events.map(|event| event.image.clone()).chain(more))
    }

    /// Indexes the given names. Empty names are ignored.
    pub fn from_names(names: impl IntoIterator<Item = String>) -> Self {
        let mut names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        let mut end = 0;
        let ends = names.iter().map(|name| {
            end += name.len();
            to_u32(end)
        });
        let ends = ends.collect();
        let mut digests: Vec<(&str, u32)> = names
            .iter()
            .zip(0..)
            .filter_map(|(name, at)| Some((digest::hex_of(name)?, at)))
            .collect();
        digests.sort_unstable();
        let by_hex = digests.into_iter().map(|(_, at)| at).collect();
        Self { text: names.concat().into(), ends, by_hex }
    }

    /// Returns all names in byte order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|at| self.name(at))
    }

    /// Returns the approximate size in memory in bytes.
    pub fn size(&self) -> usize {
        self.text.len() + size_of::<u32>() * (self.ends.len() + self.by_hex.len())
    }

    /// Returns true if an image has exactly this name.
    pub fn contains(&self, name: &str) -> bool {
        let at = partition_point(0..self.ends.len(), |at| self.name(at) < name);
        at < self.ends.len() && self.name(at) == name
    }

    /// Returns the images that match `id`.
    ///
    /// This is the image with exactly this name, if there is one. Otherwise an image matches if its
    /// name begins with `id`, or is a digest whose hex part does.
    pub fn matches(&self, id: &str) -> Matches<'_> {
        let first = partition_point(0..self.ends.len(), |at| self.name(at) < id);
        if first < self.ends.len() && self.name(first) == id {
            return Matches::One(self.name(first));
        }
        let named =
            first..partition_point(first..self.ends.len(), |at| self.name(at).starts_with(id));
        let hashed =
            equal_range(&self.by_hex, |at| self.hex(*at) < id, |at| self.hex(*at).starts_with(id));
        let mut found: Vec<usize> = named.chain(hashed.iter().map(|at| *at as usize)).collect();
        found.sort_unstable();
        found.dedup();
        match found[..] {
            [] => Matches::None,
            [one] => Matches::One(self.name(one)),
            _ => Matches::Several(found.into_iter().map(|at| self.name(at)).collect()),
        }
    }

    fn name(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[at] as usize]
    }

    /// The hex part of a digest, which was checked when it was indexed.
    fn hex(&self, at: u32) -> &str {
        let name = self.name(at as usize);
        name.split_once(':').map_or(name, |(_, hex)| hex)
    }
}

/// Joins the names of several matches for an error: at most ten, and the number of the others.
pub fn join_matches(names: &[&str]) -> String {
    const MAX_SHOWN: usize = 10;
    let shown = names[..names.len().min(MAX_SHOWN)].join(", ");
    match names.len().saturating_sub(MAX_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn to_u32(length: usize) -> u32 {
    u32::try_from(length)
        .expect("the names of a stream are a part of a stored object, which is far smaller")
}

/// Returns the items of `sorted` after those that are `before` and while they are `inside`, by
/// binary search.
fn equal_range<T>(sorted: &[T], before: impl Fn(&T) -> bool, inside: impl Fn(&T) -> bool) -> &[T] {
    let rest = &sorted[sorted.partition_point(before)..];
    &rest[..rest.partition_point(inside)]
}

/// Returns the first position in `range` that is not `before`, or the end, by binary search.
fn partition_point(range: Range<usize>, before: impl Fn(usize) -> bool) -> usize {
    let Range { mut start, mut end } = range;
    while start < end {
        let middle = start + (end - start) / 2;
        if before(middle) { start = middle + 1 } else { end = middle }
    }
    start
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::{NamedTagEventList, TagEvent};

    fn digest(algorithm: &str, hex: &str) -> String {
        let length = if algorithm == "sha512" { 128 } else { 64 };
        format!("{algorithm}:{hex}{}", "0".repeat(length - hex.len()))
    }

    fn index(names: &[&str]) -> StreamIndex {
        StreamIndex::from_names(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn image_is_found_by_any_prefix_of_name_and_hash() {
        let name = digest("sha256", "1a");
        let index = index(&[&name]);
        for id in [&name, "sha256:1a", "sha", "s", "1a", "1", &name[7..]] {
            assert_eq!(index.matches(id), Matches::One(&name), "{id}");
        }
        for id in ["SHA256:1a", "a", "1A", &format!("{name}0"), "zzz", " "] {
            assert_eq!(index.matches(id), Matches::None, "{id}");
        }
    }

    #[test]
    fn names_without_digest_match_by_prefix_only() {
        let index = index(&["app:abc", "sha256:12"]);
        assert_eq!(index.matches("app"), Matches::One("app:abc"));
        assert_eq!(index.matches("abc"), Matches::None);
        assert_eq!(index.matches("12"), Matches::None);
    }

    #[test]
    fn exact_name_takes_precedence() {
        let index = index(&["id", "id2"]);
        assert_eq!(index.matches("id"), Matches::One("id"));
        assert_eq!(index.matches("i"), Matches::Several(vec!["id", "id2"]));
    }

    #[test]
    fn several_matches_are_sorted_and_unique() {
        let (a, b, c) = (digest("sha256", "12"), digest("sha256", "1"), digest("sha512", "1"));
        let index = index(&[&c, &a, &b, &a]);
        assert_eq!(index.matches("1"), Matches::Several(vec![&b, &a, &c]));
        assert_eq!(index.matches("sha256"), Matches::Several(vec![&b, &a]));
    }

    #[test]
    fn index_covers_the_whole_history() {
        let event = |image: &str| TagEvent { image: image.into(), ..TagEvent::default() };
        let tag = |items: &[&str]| NamedTagEventList {
            items: items.iter().map(|image| event(image)).collect(),
            ..NamedTagEventList::default()
        };
        let mut stream = ImageStream::default();
        stream.status.tags = vec![tag(&["b", "a"]), tag(&["", "c", "b"])];
        assert!(StreamIndex::of(&stream).names().eq(["a", "b", "c"]));
        assert!(
            StreamIndex::with(&stream, ["d".to_owned(), "a".to_owned()])
                .names()
                .eq(["a", "b", "c", "d"])
        );
    }

    /// Matches each name in turn.
    fn naive(names: &[String], id: &str) -> Vec<String> {
        if names.iter().any(|name| name == id) && !id.is_empty() {
            return vec![id.into()];
        }
        let hash = |name: &str| digest::hex_of(name).is_some_and(|hex| hex.starts_with(id));
        let mut found: Vec<_> = names.iter().filter(|name| !name.is_empty()).cloned().collect();
        found.retain(|name| name.starts_with(id) || hash(name));
        found.sort();
        found.dedup();
        found
    }

    fn name() -> impl Strategy<Value = String> {
        let hex = "[0-1aA]{0,3}";
        prop_oneof![
            hex.prop_map(|hex| digest("sha256", &hex)),
            hex.prop_map(|hex| digest("sha512", &hex)),
            "[01a:sh]{0,3}".prop_map(String::from),
            "[01a]{0,3}".prop_map(|text| format!("sha256:{text}")),
            "\\PC{0,2}".prop_map(String::from),
        ]
    }

    proptest! {
        #[test]
        fn matches_equal_those_of_a_linear_search(
            names in prop::collection::vec(name(), 0..12),
            id in prop_oneof!["(sha(256:)?)?[01aA]{0,4}", name(), "\\PC{0,3}"],
        ) {
            let index = StreamIndex::from_names(names.clone());
            let found: Vec<String> = match index.matches(&id) {
                Matches::None => vec![],
                Matches::One(one) => vec![one.into()],
                Matches::Several(several) => several.into_iter().map(String::from).collect(),
            };
            prop_assert_eq!(found, naive(&names, &id));
            prop_assert_eq!(index.contains(&id), !id.is_empty() && names.contains(&id));
        }
    }
}
