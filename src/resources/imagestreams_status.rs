//! `imagestreams/status`: the stored status of a stream.

use std::sync::Arc;

use super::api_version::API;
use super::catalog::Catalog;
use super::imagestreams;
use crate::api::ImageStream;
use crate::domain::status_strategy;
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::machinery::updated_object::UpdatedObjectInfo;
use crate::meta::{Status, Time, field};
use crate::registry::actor::Actor;
use crate::registry::object_ref::{ObjectRef, check_path_segment};
use crate::registry::options::GetOptions;
use crate::registry::outcome::{ReadResult, Written};
use crate::registry::strategy::{Dependencies, DuplicateErrors, UpdateStrategy, ValidationErrors};
use crate::registry::verbs::{Get, Scope, Update};

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let handler = Arc::new(StreamStatusHandler(catalog.clone()));
    Builder::new(API, "imagestreams", Scope::Namespaced)
        .subresource("status")
        .columns(&imagestreams::COLUMNS)
        .get(&handler)
        .update(&handler)
        .build()
}

struct StreamStatusHandler(Arc<Catalog>);

impl Get<ImageStream> for StreamStatusHandler {
    async fn get(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        options: &GetOptions,
    ) -> Result<ReadResult<ImageStream>, Status> {
        check_path_segment(at.name())?;
        let stream = self.0.streams.read(actor, at, options, at.name()).await?;
        let stream =
            stream.ok_or_else(|| Status::not_found(self.0.streams.resource(), at.name()))?;
        Ok(ReadResult::Object(Box::new(stream)))
    }
}

impl Update<ImageStream> for StreamStatusHandler {
    async fn update(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        edit: &UpdatedObjectInfo<ImageStream>,
    ) -> Result<Written<ImageStream>, Status> {
        let strategy = StatusStrategy(self.0.clone());
        self.0.streams.edit(actor, at, edit, &strategy).await
    }
}

/// The strategy of the subresource.
struct StatusStrategy(Arc<Catalog>);

impl UpdateStrategy<ImageStream> for StatusStrategy {
    fn subresource(&self) -> &'static str {
        "status"
    }

    fn reset_fields(&self, old: Option<&ImageStream>, new: &mut ImageStream) {
        if let Some(old) = old {
            status_strategy::reset_fields(old, new);
        }
    }

    fn prepare(&self, old: Option<&ImageStream>, new: &mut ImageStream) {
        if let Some(old) = old {
            status_strategy::prepare_for_update(old, new, self.0.tag_history);
        }
    }

    fn validate(
        &self,
        old: Option<&ImageStream>,
        new: &mut ImageStream,
        _: &Dependencies<ImageStream>,
        _: Time,
    ) -> ValidationErrors {
        let Some(old) = old else { return ValidationErrors::default() };
        let limits = &self.0.streams.strategy().ranges;
        let mut errors: field::Errors = limits.status_error(Some(old), new).into_iter().collect();
        errors.append(status_strategy::validate_references(old, new));
        errors.append(self.0.registries.allowed.status_errors(old, new));
        errors.into()
    }

    fn duplicate_errors(&self) -> DuplicateErrors {
        DuplicateErrors::Changes
    }
}
