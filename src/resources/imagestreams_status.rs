//! `imagestreams/status`: what became of a stream, as it is stored, written by those who know.

use std::sync::Arc;

use super::{API, Catalog, imagestreams};
use crate::api::ImageStream;
use crate::domain::status;
use crate::meta::Status;
use crate::rest::cx::Cx;
use crate::rest::endpoint::{Builder, Endpoint, Get, Scope, Update};
use crate::rest::reply::{Sent, Written};
use crate::rest::target::check_path_segment;

/// The resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let handler = Arc::new(StreamStatus(catalog.clone()));
    Builder::new(API, "imagestreams", Scope::Namespaced)
        .subresource("status")
        .columns(&imagestreams::COLUMNS)
        .get(&handler)
        .update(&handler)
        .build()
}

struct StreamStatus(Arc<Catalog>);

impl Get<ImageStream> for StreamStatus {
    async fn get(&self, cx: &Cx) -> Result<Sent<ImageStream>, Status> {
        check_path_segment(cx.name())?;
        let stream = self.0.streams.find(cx.namespace(), cx.name()).await?;
        let stream = stream.ok_or_else(|| Status::not_found(self.0.streams.resource(), cx.name()))?;
        Ok(Sent::Object(Box::new(stream)))
    }
}

impl Update<ImageStream> for StreamStatus {
    async fn update(&self, cx: &Cx, stream: ImageStream) -> Result<Written<ImageStream>, Status> {
        let streams = &self.0.streams;
        let written = streams.replace(cx, &stream, |old, new| {
            status::prepare_update(old, new);
            streams.refuse(new, &status::faults(old, new))
        });
        Ok(Written::Object(Box::new(written.await?)))
    }
}
