//! `imagestreamtags`: a tag of a stream with its image, named `<stream>:<tag>`.

use std::sync::Arc;

use serde_json::json;

use super::api_version::API;
use super::catalog::Catalog;
use super::columns::{self, NAME, REFERENCE, UPDATED};
use super::tag_handler::{TagHandler, TagView};
use crate::api::{GROUP, Image, ImageStream, ImageStreamTag, TagReference};
use crate::domain::image_metadata::FillError;
use crate::domain::tag_edit::{self, TagWrite};
use crate::domain::{tag_comparison, tag_view, validate};
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::endpoints::table::{Columns, age};
use crate::meta::{GroupResource, Status, field};
use crate::registry::verbs::Scope;

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let tags = Arc::new(TagHandler::<ImageStreamTag>::new(catalog));
    Builder::new(API, "imagestreamtags", Scope::Namespaced)
        .names("imagestreamtag", &["istag"])
        .columns(&COLUMNS)
        .create(&tags)
        .delete(&tags)
        .get(&tags)
        .list(&tags)
        .update(&tags)
        .unadvertised_watch(&tags)
        .build()
}

static COLUMNS: Columns<ImageStreamTag> = Columns {
    definitions: &[
        NAME,
        columns::text("Image Reference", REFERENCE, 0),
        columns::text("Updated", UPDATED, 0),
        columns::text("Image Name", "image associated with the ImageStream and tag.", 1),
    ],
    cells: |view, now| {
        vec![
            json!(view.metadata.name),
            json!(view.image.docker_image_reference),
            json!(age(now, view.metadata.creation_timestamp)),
            json!(view.image.metadata.name),
        ]
    },
};

impl TagView for ImageStreamTag {
    const RESOURCE: GroupResource<'static> =
        GroupResource { group: GROUP, name: "imagestreamtags" };
    const PLURAL_KIND: &'static str = "ImageStreamTags";

    fn exists(stream: &ImageStream, tag: &str) -> bool {
        tag_view::image_of(stream, tag).is_some()
    }

    fn check_missing_image(name: &str) -> Result<(), Status> {
        Err(Status::not_found(Self::RESOURCE, name))
    }

    fn new(stream: &ImageStream, tag: &str, image: Option<Image>) -> Result<Self, FillError> {
        tag_view::stream_tag(stream, tag, image)
    }

    fn listed_tags(stream: &ImageStream) -> Vec<&str> {
        tag_view::stream_tags(stream)
    }

    fn is_same_stream(before: &ImageStream, after: &ImageStream) -> bool {
        tag_comparison::is_same_stream_of_stream_tags(before, after)
    }

    fn is_same(before: &ImageStream, after: &ImageStream, tag: &str) -> bool {
        tag_comparison::is_same_stream_tag(before, after, tag)
    }

    fn spec_tag(&self) -> (&'static str, Option<&TagReference>) {
        ("tag", self.tag.as_ref())
    }

    fn prepare_create(&mut self) {
        self.conditions.clear();
        self.image = Image::default();
    }

    fn create_errors(&self) -> field::Errors {
        validate::stream_tag(self)
    }

    fn create(&self, stream: &mut ImageStream, tag: &str) -> Result<(), Status> {
        tag_edit::create_stream_tag(stream, tag, self)
    }

    fn prepare_update(&mut self, old: &Self) {
        if self.metadata.labels.is_empty() {
            self.metadata.labels.clone_from(&old.metadata.labels);
        }
    }

    fn update_errors(&self, old: &Self) -> field::Errors {
        validate::stream_tag_update(old, self)
    }

    fn update(&self, stream: &mut ImageStream, tag: &str) -> Result<TagWrite, Status> {
        tag_edit::update_stream_tag(stream, tag, self)
    }
}
