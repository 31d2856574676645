//! What the owner of a stream wants: generations, and which wanted tags a write changes.

use super::tags;
use crate::api::{ImageStream, ImageStreamStatus, TagReference};

/// The way on which a write comes to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The stream itself is written; its status stays as it is stored.
    Stream,
    /// One of its tags is written; the status may change too.
    Tag,
}

/// Prepares a new stream: it has no status, and all generations start with 1.
pub fn prepare_create(stream: &mut ImageStream) {
    stream.status = ImageStreamStatus::default();
    stream.metadata.generation = 1;
    stream.spec.tags.iter_mut().for_each(|tag| tag.generation = Some(1));
}

/// Prepares the new form of the stream `old`: what a client cannot set is set.
///
/// The generation of the stream rises with any change of what is wanted. It becomes the generation of the wanted tags that
/// are new or [changed](changed_tags), or whose generation the client set to 0 to have them imported again.
pub fn prepare_update(old: &ImageStream, new: &mut ImageStream, route: Route) {
    new.metadata.generation = old.metadata.generation;
    match route {
        Route::Stream => new.status.clone_from(&old.status),
        Route::Tag => new.status.tags.retain(|tag| !tag.items.is_empty() || !tag.conditions.is_empty()),
    }
    for tag in new.spec.tags.iter_mut().filter(|tag| tag.generation != Some(0)) {
        if let Some(before) = tags::wanted(old, &tag.name) {
            tag.generation = before.generation;
        }
    }
    if new.spec != old.spec || new.metadata.generation == 0 {
        new.metadata.generation = old.metadata.generation.saturating_add(1);
    }
    let (generation, namespace) = (new.metadata.generation, &new.metadata.namespace);
    for tag in &mut new.spec.tags {
        let is_current = tags::wanted(old, &tag.name).is_some_and(|before| !is_changed(before, tag, namespace));
        if !is_current || matches!(tag.generation, None | Some(0)) {
            tag.generation = Some(generation);
        }
    }
}

/// The places in `new.spec.tags` of the tags with a source that are new or changed against `old`.
pub(super) fn changed_tags(old: Option<&ImageStream>, new: &ImageStream) -> Vec<usize> {
    let is_new = |tag: &TagReference| match old.and_then(|old| tags::wanted(old, &tag.name)) {
        Some(before) => is_changed(before, tag, &new.metadata.namespace),
        None => true,
    };
    let tags = new.spec.tags.iter().enumerate();
    tags.filter(|(_, tag)| tag.from.is_some() && is_new(tag)).map(|(at, _)| at).collect()
}

/// Whether a wanted tag comes from elsewhere than before, or is to be imported anew.
///
/// The kind of the source does not count, nor do annotations and the other policies.
fn is_changed(before: &TagReference, after: &TagReference, namespace: &str) -> bool {
    let Some(to) = &after.from else {
        return false;
    };
    if to.kind.is_empty() && to.name.is_empty() {
        return false;
    }
    let (before_namespace, before_name) =
        before.from.as_ref().map_or(("", ""), |from| (from.namespace.as_str(), from.name.as_str()));
    let effective = |of: &'_ str| if of.is_empty() { namespace.to_owned() } else { of.to_owned() };
    effective(before_namespace) != effective(&to.namespace)
        || before_name != to.name
        || before.reference != after.reference
        || before.import_policy.import_mode != after.import_policy.import_mode
        || (after.generation == Some(0) && before.generation.is_some_and(|generation| generation != 0))
}
