//! Rows that an import stores together with its stream: images, and the sources of scheduled tags.

use std::collections::BTreeMap;

use super::image_set::{ImportedImageSet, StoredIdentities};
use crate::api::ImageStream;
use crate::domain::import::ImportSource;
use crate::meta::Status;
use crate::registry::admission::chain::Admitted;
use crate::registry::companions::{CompanionDecision, Companions};
use crate::registry::read_set::ReadSet;
use crate::resources::import_sources::{self, SourcesRow};

/// The rows of an import.
pub(super) struct RecordedRows<'a> {
    /// The images.
    pub(super) images: ImportedImageSet<'a>,
    /// The sources by tag.
    pub(super) sources: &'a BTreeMap<String, ImportSource>,
}

impl Companions<ImageStream> for RecordedRows<'_> {
    type Outcome = StoredIdentities;

    fn decide(
        &self,
        stream: &ImageStream,
        read_set: &ReadSet,
        admitted: &Admitted,
    ) -> Result<CompanionDecision<StoredIdentities>, Status> {
        let key = import_sources::key(&stream.metadata.namespace, &stream.metadata.name);
        if !read_set.contains(&key) {
            return Ok(CompanionDecision::Read(vec![key]));
        }
        let (mut changes, identities) = match self.images.decide(stream, read_set, admitted)? {
            CompanionDecision::Write(changes, identities) => (changes, identities),
            other => return Ok(other),
        };
        let old = SourcesRow::of(read_set, &key);
        let new = old.sources().updated(stream, self.sources);
        changes.extend(import_sources::change(stream, &old, &new));
        Ok(CompanionDecision::Write(changes, identities))
    }
}
