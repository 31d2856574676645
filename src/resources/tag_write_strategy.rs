//! The strategy for writing a stream through one of its tags.

use std::sync::Arc;

use super::catalog::Catalog;
use crate::api::ImageStream;
use crate::domain::stream_strategy::{self, WriteTarget};
use crate::meta::Time;
use crate::registry::strategy::{Dependencies, Dependency, UpdateStrategy, ValidationErrors};

/// The strategy for writing a stream through one of its tags: spec and status may change.
pub(super) struct TagWriteStrategy(pub(super) Arc<Catalog>);

impl UpdateStrategy<ImageStream> for TagWriteStrategy {
    fn prepare(&self, old: Option<&ImageStream>, new: &mut ImageStream) {
        match old {
            None => stream_strategy::prepare_for_create(new),
            Some(old) => stream_strategy::prepare_for_update(old, new, WriteTarget::Tag),
        }
    }

    fn dependencies(&self, old: Option<&ImageStream>, new: &ImageStream) -> Vec<Dependency> {
        self.0.streams.strategy().dependencies(old, new)
    }

    fn validate(
        &self,
        old: Option<&ImageStream>,
        new: &mut ImageStream,
        others: &Dependencies<ImageStream>,
        now: Time,
    ) -> ValidationErrors {
        self.0.streams.strategy().resolve(old, new, others, WriteTarget::Tag, now)
    }

    fn warnings(&self, old: Option<&ImageStream>, new: &ImageStream) -> Vec<String> {
        self.0.streams.strategy().warnings(old, new)
    }

    fn decorate(&self, stream: &mut ImageStream) {
        self.0.streams.strategy().decorate(stream);
    }
}
