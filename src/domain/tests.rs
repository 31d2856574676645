//! Property test: writes of different tags commute.

use proptest::prelude::*;

use super::mapping::{self, PushedImage};
use super::names::StreamTagName;
use super::registries::Registries;
use super::resolve::{Resolution, SourceStreams};
use super::stream_strategy::{self, WriteTarget};
use super::tag_edit;
use super::tag_history::MaxTagHistory;
use crate::api::{
    GROUP, ImageStream, ImageStreamMapping, ImageStreamTag, ObjectReference, TagReference,
};
use crate::meta::{GroupResource, Time};

/// A write of one tag.
#[derive(Clone, Debug)]
enum Write {
    Push(u8),
    Set { from: u8, reference: bool },
    Delete,
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        (0..3u8).prop_map(Write::Push),
        (0..3u8, any::<bool>()).prop_map(|(from, reference)| Write::Set { from, reference }),
        Just(Write::Delete),
    ]
}

fn apply(stream: &ImageStream, tag: &str, write: &Write) -> ImageStream {
    let mut new = stream.clone();
    let now = Time::from_unix_seconds(1);
    match write {
        Write::Push(image) => {
            let mut mapping =
                ImageStreamMapping { tag: tag.into(), ..ImageStreamMapping::default() };
            mapping.image.metadata.name = format!("image{image}");
            mapping.image.docker_image_reference = format!("r/i{image}");
            mapping::push(&mut new, &mapping, PushedImage::Existing, MaxTagHistory(None), now);
            return new;
        }
        Write::Set { from, reference } => {
            let from = ObjectReference {
                kind: "DockerImage".into(),
                name: format!("r/f{from}"),
                ..ObjectReference::default()
            };
            let spec_tag =
                TagReference { from: Some(from), reference: *reference, ..TagReference::default() };
            let view = ImageStreamTag { tag: Some(spec_tag), ..ImageStreamTag::default() };
            tag_edit::update_stream_tag(&mut new, tag, &view).unwrap();
        }
        Write::Delete => {
            let name = StreamTagName { stream: "s".into(), tag: tag.into() };
            let _ = tag_edit::delete(
                &mut new,
                &name,
                GroupResource { group: GROUP, name: "imagestreamtags" },
            );
        }
    }
    stream_strategy::prepare_for_update(stream, &mut new, WriteTarget::Tag);
    let (others, registries, max_history) =
        (SourceStreams::default(), Registries::default(), MaxTagHistory(None));
    let resolution = Resolution {
        old: Some(stream),
        others: &others,
        registries: &registries,
        max_history,
        target: WriteTarget::Tag,
        now,
    };
    assert!(resolution.run(&mut new).is_empty());
    new
}

/// Clears the generations, which depend on the order of writes.
fn timeless(mut stream: ImageStream) -> ImageStream {
    stream.metadata.generation = 0;
    stream.spec.tags.iter_mut().for_each(|tag| tag.generation = None);
    stream
        .status
        .tags
        .iter_mut()
        .flat_map(|tag| &mut tag.items)
        .for_each(|event| event.generation = 0);
    stream
}

proptest! {
    #[test]
    fn writes_of_different_tags_commute(
        before in prop::collection::vec(("[a-d]", write()), 0..8),
        one in write(),
        other in write(),
    ) {
        let stream = before.iter().fold(tag_edit::empty_stream("ns", "s"), |stream, (tag, write)| apply(&stream, tag, write));
        let forth = apply(&apply(&stream, "a", &one), "b", &other);
        let back = apply(&apply(&stream, "b", &other), "a", &one);
        prop_assert_eq!(timeless(forth), timeless(back));
    }
}
