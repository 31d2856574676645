//! `imagestreams/status`: what became of a stream, as it is stored, written by those who know.

use std::sync::Arc;

use super::{API, Catalog, imagestreams};
use crate::api::ImageStream;
use crate::domain::history::MaxTagHistory;
use crate::domain::status;
use crate::meta::{Status, Time};
use crate::rest::cx::Cx;
use crate::rest::edit::Edit;
use crate::rest::endpoint::{Builder, Endpoint, Get, Scope, Update};
use crate::rest::options::Options;
use crate::rest::reply::{Sent, Written};
use crate::rest::rules::{Faults, Others, Retold, Rules};
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
        let stream = self.0.streams.read(cx, cx.name()).await?;
        let stream = stream.ok_or_else(|| Status::not_found(self.0.streams.resource(), cx.name()))?;
        Ok(Sent::Object(Box::new(stream)))
    }
}

impl Update<ImageStream> for StreamStatus {
    async fn update(
        &self,
        cx: &Cx,
        options: &Options,
        edit: &Edit<ImageStream>,
    ) -> Result<Written<ImageStream>, Status> {
        let rules = StatusRules { tag_history: self.0.tag_history };
        self.0.streams.edit(cx, options, edit, &rules).await
    }
}

/// How the status of a stream is written.
struct StatusRules {
    /// How many events a tag keeps.
    tag_history: MaxTagHistory,
}

impl Rules<ImageStream> for StatusRules {
    fn subresource(&self) -> &'static str {
        "status"
    }

    fn restrict(&self, old: Option<&ImageStream>, new: &mut ImageStream) {
        if let Some(old) = old {
            status::restrict(old, new);
        }
    }

    fn prepare(&self, old: Option<&ImageStream>, new: &mut ImageStream) {
        if let Some(old) = old {
            status::prepare_update(old, new, self.tag_history);
        }
    }

    fn settle(&self, old: Option<&ImageStream>, new: &mut ImageStream, _: &Others<ImageStream>, _: Time) -> Faults {
        old.map(|old| status::faults(old, new)).unwrap_or_default().into()
    }

    fn retold(&self) -> Retold {
        Retold::Changes
    }
}
