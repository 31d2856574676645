//! Images that a stream has without proof of access to their content.
//!
//! A user who pushes an image with its manifest shows that they have the content, or they are
//! allowed to pull it from another stream. Otherwise the stream has the image *unproved*: it shows
//! only the data of its own mapping, even if other streams prove the image later, until it proves
//! the image itself. Tags that copy an event from another stream copy the standing of the image
//! too.
//!
//! Anyone can write a manifest list that contains images of others. The children of a list are
//! therefore *withheld* from a stream that does not have them itself: they are shown only if a user
//! with permission to create images wrote them, as registries do when they push children before the
//! list.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::tags;
use crate::api::{Evidence, Image, ImageStream, NamedTagEventList, Proof, TagEvent};
use crate::meta::field;

/// Standing of an image in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The manifest was sent, or the writer was allowed to see the image.
    Proved,
    /// The image is known only from a mapping of this or another stream.
    Unproved {
        /// UID of the Image that the mapping created.
        uid: String,
    },
}

/// Value in place of the UID if a stream has an image only as a child of a manifest list.
pub const WITHHELD: &str = "";
/// Maximum number of images that are withheld from a stream.
pub const MAX_WITHHELD: usize = 1000;

/// Returns the standing of an image, or `None` if the history of `stream` does not contain it.
pub fn standing(stream: &ImageStream, name: &str) -> Option<Standing> {
    has(stream, name).then(|| standing_in(stream, name))
}

/// Returns the standing of an image that the history of `stream` contains.
pub fn standing_in(stream: &ImageStream, name: &str) -> Standing {
    stream
        .unproved
        .get(name)
        .map_or(Standing::Proved, |uid| Standing::Unproved { uid: uid.clone() })
}

/// Records the standing of an image before its event is added. A proved image stays proved, and a
/// withheld one stays withheld until it is proved.
pub fn record(stream: &mut ImageStream, name: &str, standing: Standing) {
    record_with(stream, name, standing, |stream| has(stream, name));
}

/// Number of events per image. Replaces scans of the history while many events are added. The
/// history is read on first use.
#[derive(Debug, Default)]
pub struct NamedImages(Option<HashMap<String, usize>>);

impl NamedImages {
    /// Like [`record`].
    pub fn record(&mut self, stream: &mut ImageStream, name: &str, standing: Standing) {
        record_with(stream, name, standing, |stream| {
            let Self(counts) = self;
            let counts = counts.get_or_insert_with(|| {
                let mut counts = HashMap::new();
                stream.status.tags.iter().for_each(|tag| add(&mut counts, &tag.items));
                counts
            });
            counts.contains_key(name)
        });
    }

    /// Runs an edit that changes only the history of `tag`.
    pub fn edit<R>(
        &mut self,
        histories: &mut Vec<NamedTagEventList>,
        tag: &str,
        edit: impl FnOnce(&mut Vec<NamedTagEventList>) -> R,
    ) -> R {
        let Self(Some(counts)) = self else {
            return edit(histories);
        };
        remove(counts, items_of(histories, tag));
        let done = edit(histories);
        add(counts, items_of(histories, tag));
        done
    }
}

fn items_of<'a>(histories: &'a [NamedTagEventList], tag: &str) -> &'a [TagEvent] {
    tags::history_index(histories, tag).map_or(&[], |at| &histories[at].items)
}

fn add(counts: &mut HashMap<String, usize>, events: &[TagEvent]) {
    for event in events {
        *counts.entry(event.image.clone()).or_default() += 1;
    }
}

fn remove(counts: &mut HashMap<String, usize>, events: &[TagEvent]) {
    for event in events {
        if let Some(count) = counts.get_mut(&event.image) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&event.image);
            }
        }
    }
}

fn record_with(
    stream: &mut ImageStream,
    name: &str,
    standing: Standing,
    has: impl FnOnce(&ImageStream) -> bool,
) {
    let Standing::Unproved { uid } = standing else {
        stream.unproved.remove(name);
        return;
    };
    let is_free = match stream.unproved.get(name) {
        Some(known) => known != WITHHELD,
        None => !has(stream),
    };
    if is_free {
        stream.unproved.insert(name.into(), uid);
    }
}

/// Returns the unproved images to store: those that the history still contains. Withheld images
/// remain while the history contains any image, because that could be a manifest list.
pub fn stored(stream: &ImageStream) -> BTreeMap<&str, &str> {
    if stream.unproved.is_empty() {
        return BTreeMap::new();
    }
    let events = stream.status.tags.iter().flat_map(|tag| &tag.items);
    let names: HashSet<&str> = events.map(|event| event.image.as_str()).collect();
    if names.iter().all(|name| name.is_empty()) {
        return BTreeMap::new();
    }
    let unproved = stream.unproved.iter().map(|(name, uid)| (name.as_str(), uid.as_str()));
    unproved.filter(|(name, uid)| *uid == WITHHELD || names.contains(name)).collect()
}

/// Returns the `children` of the manifest list `list` that `stream` does not have. If the stream
/// already has the list, only withheld children are returned.
pub fn children_to_prove<'a>(
    stream: &ImageStream,
    list: &str,
    children: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<&'a str> {
    let mut children: BTreeSet<&str> =
        children.into_iter().filter(|child| !child.is_empty()).collect();
    if children.is_empty() {
        return children;
    }
    let is_new = standing(stream, list) != Some(Standing::Proved);
    let events = stream.status.tags.iter().flat_map(|tag| &tag.items);
    let has: HashSet<&str> = events.map(|event| event.image.as_str()).collect();
    children.retain(|child| match stream.unproved.get(*child) {
        Some(uid) => uid == WITHHELD,
        None => is_new && !has.contains(child),
    });
    children
}

/// Withholds from `stream` the children that it does not have.
pub fn withhold<'a>(stream: &mut ImageStream, children: impl IntoIterator<Item = &'a str>) {
    let ImageStream { status, unproved, .. } = stream;
    let mut children =
        children.into_iter().filter(|child| !unproved.contains_key(*child)).peekable();
    if children.peek().is_none() {
        return;
    }
    let events = status.tags.iter().flat_map(|tag| &tag.items);
    let has: HashSet<&str> = events.map(|event| event.image.as_str()).collect();
    let new: Vec<&str> = children.filter(|child| !has.contains(child)).collect();
    unproved.extend(new.into_iter().map(|child| (child.into(), WITHHELD.into())));
}

/// Returns true if more than [`MAX_WITHHELD`] images are withheld from `new`, and some of them not
/// from `old`. A stream that was stored with more can be updated if the update adds none.
pub fn exceeds_limit(old: Option<&ImageStream>, new: &ImageStream) -> bool {
    let is_old = |name: &str| {
        old.is_some_and(|old| old.unproved.get(name).is_some_and(|uid| uid == WITHHELD))
    };
    withheld(new).nth(MAX_WITHHELD).is_some() && !withheld(new).all(is_old)
}

/// Returns an error if the source streams of the tags of `new` bring too many
/// [withheld](exceeds_limit) images.
pub fn withheld_error(old: Option<&ImageStream>, new: &ImageStream) -> Option<field::Error> {
    exceeds_limit(old, new).then(|| {
        let (count, most) = (withheld(new).count(), MAX_WITHHELD);
        let detail = format!(
            "manifest lists in the source streams contain {count} images that neither those \
             streams nor this one have, and a stream may have at most {most} of these: push the \
             images into this stream or into those first, or take tags from fewer streams"
        );
        field::Error::forbidden("spec.tags", detail)
    })
}

/// Returns the images that are withheld from `stream`.
pub fn withheld(stream: &ImageStream) -> impl Iterator<Item = &str> {
    stream.unproved.iter().filter(|(_, uid)| *uid == WITHHELD).map(|(name, _)| name.as_str())
}

/// Returns true if each stream with a manifest list shows the image as its child: it was written by
/// a user with permission to create images, or stored before evidence was recorded.
pub fn is_open(image: &Image) -> bool {
    image.evidence.proof == Proof::Authority || image.evidence == Evidence::default()
}

/// Returns true if a stream that has `image` without proof, under this UID, shows it anyway: the
/// image is unchanged since the mapping, or it is open.
pub fn is_own(image: &Image, uid: &str) -> bool {
    match uid {
        WITHHELD => is_open(image),
        _ => image.metadata.uid == uid && image.evidence.proof == Proof::Nothing,
    }
}

/// Returns true if an unproved image must be kept when a proof replaces it, for the streams that
/// have it unproved.
pub fn is_kept(replaced: &Evidence) -> bool {
    replaced.proof == Proof::Nothing && replaced.blobs.is_some()
}

fn has(stream: &ImageStream, name: &str) -> bool {
    stream.status.tags.iter().flat_map(|tag| &tag.items).any(|event| event.image == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NamedTagEventList, TagEvent};

    fn stream(images: &[&str]) -> ImageStream {
        let event = |image: &&str| TagEvent { image: (*image).into(), ..TagEvent::default() };
        let items = images.iter().map(event).collect();
        let mut stream = ImageStream::default();
        stream.status.tags = vec![NamedTagEventList { tag: "t".into(), items, conditions: vec![] }];
        stream
    }

    fn unproved(uid: &str) -> Standing {
        Standing::Unproved { uid: uid.into() }
    }

    #[test]
    fn unproved_entries_follow_the_history() {
        let mut stream = stream(&["a"]);
        assert_eq!(
            (standing(&stream, "a"), standing(&stream, "b")),
            (Some(Standing::Proved), None)
        );
        record(&mut stream, "b", unproved("u"));
        assert_eq!(
            (standing(&stream, "b"), standing_in(&stream, "b")),
            (None, unproved("u")),
            "no event yet"
        );
    }

    #[test]
    fn proved_images_stay_proved() {
        let mut stream = stream(&["a"]);
        record(&mut stream, "a", unproved("u"));
        assert_eq!(standing(&stream, "a"), Some(Standing::Proved));
        record(&mut stream, "b", unproved("u"));
        record(&mut stream, "b", unproved("v"));
        assert_eq!(standing_in(&stream, "b"), unproved("v"), "the image was recreated");
        record(&mut stream, "b", Standing::Proved);
        assert!(stream.unproved.is_empty());
    }

    #[test]
    fn images_without_events_are_not_stored() {
        let mut stream = stream(&["a"]);
        stream.unproved =
            [("a", "u"), ("b", "u")].map(|(name, uid)| (name.into(), uid.into())).into();
        assert_eq!(stored(&stream), [("a", "u")].into());
    }

    #[test]
    fn withheld_images_are_stored_while_images_remain() {
        let mut stream = stream(&["list"]);
        withhold(&mut stream, ["part"]);
        assert_eq!(stored(&stream), [("part", WITHHELD)].into());
        stream.status.tags[0].items[0].image.clear();
        assert_eq!(stored(&stream), [].into(), "the event has no image");
        stream.status.tags.clear();
        assert_eq!(stored(&stream), [].into());
    }

    #[test]
    fn many_parts_are_withheld_within_the_deadline() {
        const MANY: usize = 20_000;
        let names = |of: &str| (0..MANY).map(|at| format!("{of}{at:060}")).collect::<Vec<_>>();
        let (images, parts) = (names("i"), names("p"));
        let mut stream = stream(&images.iter().map(String::as_str).collect::<Vec<_>>());
        let start = std::time::Instant::now();
        withhold(&mut stream, images.iter().chain(&parts).map(String::as_str));
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
        assert!(withheld(&stream).eq(parts.iter().map(String::as_str)));
    }

    #[test]
    fn stream_over_the_limit_rejects_withheld_images() {
        let names: Vec<String> = (0..=MAX_WITHHELD).map(|at| format!("p{at}")).collect();
        let mut fits = stream(&["list"]);
        withhold(&mut fits, names[1..].iter().map(String::as_str));
        let mut over = fits.clone();
        withhold(&mut over, [names[0].as_str()]);
        assert!(!exceeds_limit(None, &fits) && exceeds_limit(None, &over));
        assert!(exceeds_limit(Some(&fits), &over) && !exceeds_limit(Some(&over), &over));
        let mut other = over.clone();
        record(&mut other, "p0", Standing::Proved);
        assert!(!exceeds_limit(Some(&over), &other));
        withhold(&mut other, ["other"]);
        assert!(exceeds_limit(Some(&over), &other));
    }

    #[test]
    fn foreign_parts_are_withheld_until_proved() {
        let to_prove = |stream: &ImageStream, parts: &[&'static str]| -> Vec<&str> {
            children_to_prove(stream, "list", parts.iter().copied()).into_iter().collect()
        };
        let mut stream = stream(&["a"]);
        assert_eq!(to_prove(&stream, &["a", "b", "b", ""]), ["b"]);
        withhold(&mut stream, ["a", "b"]);
        assert_eq!(withheld(&stream).collect::<Vec<_>>(), ["b"]);
        record(&mut stream, "b", unproved("u"));
        assert_eq!(stored(&stream), [("b", WITHHELD)].into(), "without an event");
        let event = TagEvent { image: "list".into(), ..TagEvent::default() };
        stream.status.tags[0].items.push(event);
        assert_eq!(to_prove(&stream, &["a", "b", "c"]), ["b"], "the stream has the list already");
        record(&mut stream, "b", Standing::Proved);
        assert_eq!(to_prove(&stream, &["a", "b", "c"]), [""; 0]);
    }

    #[test]
    fn authorized_withheld_image_is_shown() {
        let mut image = Image { evidence: Evidence::authority(), ..Image::default() };
        assert!(is_own(&image, WITHHELD));
        for proof in [Proof::Manifest, Proof::Full] {
            image.evidence.proof = proof;
            assert!(!is_own(&image, WITHHELD));
        }
        image.evidence = Evidence::unproved();
        assert!(!is_own(&image, WITHHELD));
    }

    #[test]
    fn only_the_image_of_the_mapping_is_its_own() {
        let mut image = Image { evidence: Evidence::unproved(), ..Image::default() };
        image.metadata.uid = "u".into();
        assert!(is_own(&image, "u") && !is_own(&image, "v"));
        image.evidence.proof = Proof::Manifest;
        assert!(!is_own(&image, "u"));
    }
}
