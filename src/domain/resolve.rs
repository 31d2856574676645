//! Resolution of spec tags: tag events that result from a change of a stream's spec, as
//! `tagsChanged` in openshift-apiserver pkg/image/apiserver/registry/imagestream/strategy.go.
//!
//! The other streams are an argument: [`required_streams`] lists them, [`SourceStreams`] holds
//! them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::reference::Reference;
use super::registries::Registries;
use super::source_images::SourceImages;
use super::stream_strategy::{self, WriteTarget};
use super::tag_history::{self, MaxTagHistory};
use super::tag_source::{StreamKey, TagSource};
use super::tags;
use super::unproved::{self, NamedImages, Standing};
use crate::api::{ImageStream, ObjectReference, TagEvent, TagReference};
use crate::meta::{Time, field, path_segment_errors};

/// Result of reading a source stream.
#[derive(Clone, Debug)]
pub enum SourceStream {
    /// The stream as stored.
    Found(Arc<ImageStream>),
    /// The stream does not exist.
    Missing,
    /// The user is not allowed to pull from the stream. Callers need not read it, because its
    /// existence must not be revealed.
    Denied {
        /// Reason of the authorizer. Mostly empty.
        reason: String,
    },
}

/// Source streams by namespace and name.
#[derive(Clone, Debug, Default)]
pub struct SourceStreams(HashMap<StreamKey, SourceStream>);

/// Inputs of the resolution of a stream's spec tags.
#[derive(Clone, Copy, Debug)]
pub struct Resolution<'a> {
    /// The stream as stored. `None` for a new stream.
    pub old: Option<&'a ImageStream>,
    /// Streams from [`required_streams`].
    pub others: &'a SourceStreams,
    /// Registries from which images of streams are pulled.
    pub registries: &'a Registries,
    /// Maximum number of events per tag.
    pub max_history: MaxTagHistory,
    /// Object of the write.
    pub target: WriteTarget,
    /// Time of the new events.
    pub now: Time,
}

/// Returns the other streams from which new and changed tags of `new` come.
///
/// `new` must be [prepared](stream_strategy::prepare_for_update). For streams in other namespaces,
/// callers check if the user may `get` their `imagestreams/layers`.
pub fn required_streams(old: Option<&ImageStream>, new: &ImageStream) -> BTreeSet<StreamKey> {
    let changed = stream_strategy::changed_tags(old, new).into_iter();
    let sources = changed.filter_map(|at| {
        TagSource::read(new.spec.tags[at].from.as_ref()?, new).ok()?.stream().cloned()
    });
    sources.filter(|key| !key.is_of(new) && name_error(&key.name).is_none()).collect()
}

/// Wraps the errors of tags into one internal error, the text of which is known to clients.
pub fn internal_error(stream: &ImageStream, errors: &field::Errors) -> Option<field::Error> {
    let name = field::quote(&stream.metadata.name);
    let text = format!("imagestreams {name} is invalid: {}", field::join(errors));
    (!errors.is_empty()).then(|| internal(text))
}

/// Wraps the text of an error of the whole stream, as of its tags, into an internal error.
pub fn internal(text: String) -> field::Error {
    field::Error { field: "[]".into(), kind: field::ErrorKind::Internal(text) }
}

impl SourceStreams {
    /// Adds the result of reading a stream.
    pub fn insert(&mut self, key: StreamKey, other: SourceStream) {
        self.0.insert(key, other);
    }
}

impl<'a> Resolution<'a> {
    /// Adds an event to each new or changed tag whose source exists. Tracking tags get their events
    /// too, unless the write is an update of the stream itself.
    ///
    /// Returns the errors of the tags, with paths in the stream. [`internal_error`] wraps them.
    pub fn run(&self, new: &mut ImageStream) -> field::Errors {
        let changed = stream_strategy::changed_tags(self.old, new);
        let mut errors = field::Errors::default();
        if !changed.is_empty() {
            let names: Vec<String> =
                changed.iter().map(|at| new.spec.tags[*at].name.clone()).collect();
            let added =
                tag_history::insert_empty(&mut new.status.tags, names.iter().map(String::as_str));
            errors = self.add_events(new, &changed);
            tag_history::remove_empty(&mut new.status.tags, &added);
        }
        if self.old.is_none() || self.target == WriteTarget::Tag {
            tag_history::propagate(new, self.old, self.max_history);
        }
        errors
    }

    fn add_events(&self, new: &mut ImageStream, changed: &[usize]) -> field::Errors {
        let (mut errors, mut read) = (field::Errors::default(), ReadStreams::default());
        let mut named = NamedImages::default();
        for at in sources_first(new, changed) {
            match self.event(new, &new.spec.tags[at], &mut read) {
                Ok(Some((event, standing))) => {
                    named.record(new, &event.image, standing);
                    let tag = &new.spec.tags[at].name;
                    named.edit(&mut new.status.tags, tag, |tags| {
                        tag_history::push(tags, tag, event, self.max_history)
                    });
                }
                Ok(None) => {}
                Err(error) => errors.push_with(|| error),
            }
            // Further errors would not be shown, and finding them could take long.
            if errors.is_cut() {
                break;
            }
        }
        unproved::withhold(new, read.withheld);
        errors
    }

    /// Returns the event of a spec tag and the standing of its image in the source. `None` if the
    /// source does not exist or must be imported.
    fn event(
        &self,
        new: &ImageStream,
        tag: &TagReference,
        read: &mut ReadStreams<'a>,
    ) -> Result<Option<(TagEvent, Standing)>, field::Error> {
        let Some(from) = &tag.from else {
            return Ok(None);
        };
        let path = SourcePath(&tag.name);
        let invalid =
            |rule: String| field::Error::invalid(format_args!("{path}.name"), &from.name, rule);
        let found = match TagSource::read(from, new).map_err(|bad| invalid(bad.to_string()))? {
            TagSource::External(reference) => tag.reference.then(|| {
                let docker_image_reference = reference.into();
                let event = TagEvent {
                    created: Some(self.now),
                    docker_image_reference,
                    ..TagEvent::default()
                };
                (event, Standing::Proved)
            }),
            TagSource::Tag(key, source) => {
                let stream = match key.is_of(new) {
                    // The images withheld from the stream itself are recorded already.
                    true => new,
                    false => read.stream(&key, self.other(&key, &path, from)?),
                };
                tags::latest_event(stream, source).cloned().map(|event| {
                    let standing = unproved::standing_in(stream, &event.image);
                    (self.relocated(event, tag, &key, new), standing)
                })
            }
            TagSource::Image(key, id) => {
                // Of the stream itself only the stored state counts, so the order of tags does not
                // matter.
                let stream =
                    if key.is_of(new) { self.old } else { Some(self.other(&key, &path, from)?) };
                let stream = stream.map(|stream| read.stream(&key, stream));
                let images =
                    read.images.entry(key.clone()).or_insert_with(|| SourceImages::of(stream));
                let found = images
                    .find(id)
                    .map_err(|reason| invalid(format!("error generating tag event: {reason}")))?;
                let event = TagEvent { created: Some(self.now), ..found };
                let standing = stream
                    .map_or(Standing::Proved, |stream| unproved::standing_in(stream, &event.image));
                Some((self.relocated(event, tag, &key, new), standing))
            }
        };
        let generation = new.metadata.generation;
        Ok(found.map(|(event, standing)| (TagEvent { generation, ..event }, standing)))
    }

    fn other(
        &self,
        key: &StreamKey,
        path: &SourcePath<'_>,
        from: &ObjectReference,
    ) -> Result<&'a ImageStream, field::Error> {
        let unreadable = |reason: &str| {
            let rule = format!("unable to retrieve image stream: {reason}");
            field::Error::invalid(format_args!("{path}.name"), &from.name, rule)
        };
        if let Some(reason) = name_error(&key.name) {
            return Err(unreadable(&reason));
        }
        match self.others.0.get(key) {
            Some(SourceStream::Found(stream)) => Ok(stream),
            Some(SourceStream::Missing) => {
                Err(field::Error::not_found(format_args!("{path}.name"), &from.name))
            }
            Some(SourceStream::Denied { reason }) => {
                let detail =
                    format!("{}/{}: {} \"\"", key.namespace, key.name, field::quote(reason));
                Err(field::Error::forbidden(path, detail))
            }
            None => Err(unreadable("it was not looked for")),
        }
    }

    /// Returns the event with its pull spec in `stream`. An image that the internal registry has in
    /// the stream `key` is pulled through this stream instead, unless the tag is a reference.
    fn relocated(
        &self,
        mut event: TagEvent,
        tag: &TagReference,
        key: &StreamKey,
        stream: &ImageStream,
    ) -> TagEvent {
        let Some(internal) =
            self.registries.internal.as_ref().filter(|_| !tag.reference && !key.is_of(stream))
        else {
            return event;
        };
        if let Ok(reference) = event.docker_image_reference.parse::<Reference>()
            && reference.registry == *internal
            && (reference.namespace.as_str(), reference.name.as_str())
                == (key.namespace.as_str(), key.name.as_str())
        {
            let StreamKey { namespace, name } = StreamKey::of(stream);
            event.docker_image_reference = Reference { namespace, name, ..reference }.exact();
        }
        event
    }
}

/// State of one resolution, computed once per source stream.
#[derive(Default)]
struct ReadStreams<'a> {
    /// Image indexes of streams from which a tag takes an image by name.
    images: HashMap<StreamKey, SourceImages<'a>>,
    /// Streams whose withheld images are in `withheld`.
    streams: HashSet<StreamKey>,
    withheld: HashSet<&'a str>,
}

impl<'a> ReadStreams<'a> {
    /// Returns `stream`, and collects its withheld images on the first read.
    fn stream(&mut self, key: &StreamKey, stream: &'a ImageStream) -> &'a ImageStream {
        if !self.streams.contains(key) {
            self.streams.insert(key.clone());
            self.withheld.extend(unproved::withheld(stream));
        }
        stream
    }
}

/// Path of a spec tag's source. Formatted for errors only.
#[derive(Clone, Copy)]
struct SourcePath<'a>(&'a str);

impl fmt::Display for SourcePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.tags[{}].from", self.0)
    }
}

/// Returns the indexes of `changed` tags so that each follows its source.
///
/// In a cycle the order is arbitrary.
fn sources_first(stream: &ImageStream, changed: &[usize]) -> Vec<usize> {
    let tags = &stream.spec.tags;
    let mut is_open = vec![false; tags.len()];
    changed.iter().for_each(|at| is_open[*at] = true);
    let source = |at: usize| match TagSource::read(tags[at].from.as_ref()?, stream).ok()? {
        TagSource::Tag(key, source) if key.is_of(stream) => tags::spec_tag_index(tags, source).ok(),
        _ => None,
    };
    let mut order = Vec::with_capacity(changed.len());
    for first in changed {
        let start = order.len();
        let mut next = Some(*first);
        while let Some(at) = next.filter(|at| is_open[*at]) {
            is_open[at] = false;
            order.push(at);
            next = source(at);
        }
        order[start..].reverse();
    }
    order
}

/// Returns the rule that a stream name violates.
fn name_error(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("Name parameter required.".into());
    }
    let error = path_segment_errors(name).into_iter().next()?;
    Some(format!("Name parameter invalid: {}: {error}", field::quote(name)))
}

#[cfg(test)]
mod tests;
