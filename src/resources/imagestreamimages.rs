//! `imagestreamimages`: an image of a stream, named `<stream>@<digest>`. The hottest read path.

use std::sync::Arc;

use serde_json::json;

use super::api_version::API;
use super::catalog::Catalog;
use super::columns::{self, NAME, REFERENCE, UPDATED};
use super::image_view::ImageView;
use super::packed_view::{self, PackedView, ViewContent};
use super::revision_cache::Revisioned;
use super::stream_view::StreamView;
use crate::api::{GROUP, GROUP_VERSION, ImageStreamImage};
use crate::domain::names::StreamImageName;
use crate::domain::stream_index::{self, Matches};
use crate::domain::unproved::WITHHELD;
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::endpoints::table::{Columns, age};
use crate::machinery::json;
use crate::meta::{GroupResource, Kind, Status};
use crate::registry::actor::Actor;
use crate::registry::object_ref::{ObjectRef, check_path_segment};
use crate::registry::options::GetOptions;
use crate::registry::outcome::ReadResult;
use crate::registry::verbs::{Get, Scope};
use crate::store::ReadPoint;

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    Builder::new(API, "imagestreamimages", Scope::Namespaced)
        .names("imagestreamimage", &["isimage"])
        .columns(&COLUMNS)
        .get(&Arc::new(StreamImageHandler(catalog.clone())))
        .build()
}

static COLUMNS: Columns<ImageStreamImage> = Columns {
    definitions: &[
        NAME,
        columns::text("Updated", UPDATED, 0),
        columns::text("Image Reference", REFERENCE, 1),
        columns::text("Image Name", "image associated with the ImageStream and image name.", 1),
    ],
    cells: |view, now| {
        vec![
            json!(view.metadata.name),
            json!(age(now, view.metadata.creation_timestamp)),
            json!(view.image.docker_image_reference),
            json!(view.image.metadata.name),
        ]
    },
};

const PLURAL: GroupResource<'static> = GroupResource { group: GROUP, name: "imagestreamimages" };
const SINGULAR: GroupResource<'static> = GroupResource { group: GROUP, name: "imagestreamimage" };

struct StreamImageHandler(Arc<Catalog>);

impl Get<ImageStreamImage> for StreamImageHandler {
    async fn get(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        _: &GetOptions,
    ) -> Result<ReadResult<ImageStreamImage>, Status> {
        let name = StreamImageName::parse(at.name())
            .map_err(|why| Status::bad_request(why.to_string()))?;
        check_path_segment(&name.stream)?;
        // The stream, then the image, as of one check of freshness.
        let (load, point) = (&actor.load, ReadPoint::default());
        let stream = self.0.stream_view(load, &point, at.namespace(), &name.stream).await?;
        let stream = stream.ok_or_else(|| Status::not_found(PLURAL, &name.stream))?;
        let image = self.resolve(actor, &stream, &name.id).await?;
        let image = image.ok_or_else(|| Status::not_found(SINGULAR, at.name()))?;
        let standing = stream.unproved.get(&image);
        if standing.is_some_and(|uid| uid != WITHHELD) {
            let view = Box::pin(self.0.unproved_image_view(load, &stream, &image)).await?;
            let view = view.ok_or_else(|| Status::not_found(PLURAL, &image))?;
            return compose(at, &stream, &view).map(ReadResult::Json);
        }
        let view = self.0.image_view(load, &point, &image).await?;
        let view = view.filter(|view| standing.is_none() || packed_view::is_open(&view.row));
        let view = view.ok_or_else(|| Status::not_found(PLURAL, &image))?;
        compose(at, &stream, &view).map(ReadResult::Json)
    }
}

impl StreamImageHandler {
    /// Resolves an id, or a prefix of one, to the name of an image in a stream.
    ///
    /// A full name in the history needs no closure.
    async fn resolve(
        &self,
        actor: &Actor,
        stream: &Revisioned<StreamView>,
        id: &str,
    ) -> Result<Option<String>, Status> {
        if let Matches::One(name) = stream.history.matches(id)
            && name == id
        {
            return Ok(Some(name.to_owned()));
        }
        match self.0.image_closure(&actor.load, stream).await?.index.matches(id) {
            Matches::None => Ok(None),
            Matches::One(name) => Ok(Some(name.to_owned())),
            Matches::Several(names) => Err(ambiguous(id, &names)),
        }
    }
}

fn ambiguous(id: &str, names: &[&str]) -> Status {
    let matches = stream_index::join_matches(names);
    Status::bad_request(format!(
        "several images of the stream match {id:?}, give more of the digest: {matches}"
    ))
}

/// Builds the response from the stream and the view of the image.
fn compose(at: &ObjectRef, stream: &StreamView, view: &ImageView) -> Result<Vec<u8>, Status> {
    let damaged = |why: &str| Status::hidden(format!("the view of the image {}: {why}", at.name()));
    let packed = PackedView::read(&view.row).map_err(damaged)?;
    let image = match packed.content {
        ViewContent::Image(json) => json,
        ViewContent::Error(status) => {
            let mut json = Vec::new();
            status.write_status(&mut json).map_err(damaged)?;
            return Err(serde_json::from_slice(&json).unwrap_or_else(Status::hidden));
        }
    };
    let mut out = Vec::with_capacity(512 + stream.annotations.len() + image.length());
    out.extend_from_slice(br#"{"kind":""#);
    out.extend_from_slice(ImageStreamImage::KIND.as_bytes());
    out.extend_from_slice(br#"","apiVersion":""#);
    out.extend_from_slice(GROUP_VERSION.as_bytes());
    out.extend_from_slice(br#"","metadata":{"name":"#);
    json::encode_text(at.name(), &mut out);
    out.extend_from_slice(br#","namespace":"#);
    json::encode_text(at.namespace(), &mut out);
    if !packed.created.is_empty() {
        out.extend_from_slice(br#","creationTimestamp":""#);
        out.extend_from_slice(packed.created);
        out.push(b'"');
    }
    if !stream.annotations.is_empty() {
        out.extend_from_slice(br#","annotations":"#);
        out.extend_from_slice(&stream.annotations);
    }
    out.extend_from_slice(br#"},"image":"#);
    image.write_image(view.revision, &mut out).map_err(damaged)?;
    out.extend_from_slice(b"}\n");
    Ok(out)
}
