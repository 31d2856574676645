//! Rows with the sources of imported tags, one for each stream with scheduled tags. They are written
//! in the transactions of imports and deleted with the stream. No API serves them.

use crate::api::{GROUP, ImageStream};
use crate::domain::import::ImportSources;
use crate::machinery::json;
use crate::meta::{GroupResource, Status};
use crate::registry::history_limit;
use crate::registry::keys;
use crate::registry::object_change::{ObjectChange, WriteEffect};
use crate::registry::read_set::ReadSet;
use crate::store::{Change, Charge, Entry, Key};

const RESOURCE: GroupResource<'static> = GroupResource { group: GROUP, name: "importsources" };

/// The key of the row of a stream.
pub(super) fn key(namespace: &str, name: &str) -> Key {
    keys::key(RESOURCE, namespace, name)
}

/// The sources in a row; none without one.
///
/// # Errors
/// 500 for a row that cannot be decoded; it names the row.
pub(super) fn decode(entry: Option<&Entry>) -> Result<ImportSources, Status> {
    let Some(entry) = entry else { return Ok(ImportSources::default()) };
    serde_json::from_slice(&entry.value)
        .map_err(|why| Status::hidden(format!("the row {} cannot be read: {why}", entry.key)))
}

/// The row of a stream before a write.
pub(super) enum SourcesRow {
    /// There is no row.
    Missing,
    /// The sources in the row.
    Found(ImportSources),
    /// A row that cannot be read. The next write replaces it: without it, scheduled tags are fetched
    /// once more.
    Damaged,
}

impl SourcesRow {
    /// The row of this key.
    pub(super) fn of(read_set: &ReadSet, key: &Key) -> Self {
        match read_set.entry(key).map(|entry| entry.map(|entry| decode(Some(entry)))) {
            Ok(None) => Self::Missing,
            Ok(Some(Ok(sources))) => Self::Found(sources),
            Ok(Some(Err(_))) | Err(_) => {
                tracing::warn!(%key, "a damaged row with the sources of imports is replaced; check the disk");
                Self::Damaged
            }
        }
    }

    /// The sources that are known.
    pub(super) fn sources(&self) -> ImportSources {
        match self {
            Self::Missing | Self::Damaged => ImportSources::default(),
            Self::Found(sources) => sources.clone(),
        }
    }
}

/// The change of the row of a stream; `None` if the row stays.
pub(super) fn change(
    stream: &ImageStream,
    old: &SourcesRow,
    new: &ImportSources,
) -> Option<ObjectChange> {
    let (namespace, name) = (&stream.metadata.namespace, &stream.metadata.name);
    let row = match (new.tags.is_empty(), old) {
        (true, SourcesRow::Missing) => return None,
        (true, _) => Change::Delete(key(namespace, name)),
        (false, SourcesRow::Found(old)) if old == new => return None,
        (false, _) => Change::Put(key(namespace, name), json::encode(new).into()),
    };
    Some(ObjectChange {
        resource: RESOURCE,
        namespace: namespace.clone(),
        effect: WriteEffect::Updated,
        rows: vec![row],
        charge: Charge::Limited(history_limit::account(namespace)),
    })
}

/// The row of a deleted stream is deleted with it.
pub(super) fn deleted(old: Option<&ImageStream>, new: Option<&ImageStream>) -> Option<Change> {
    let ImageStream { metadata, .. } = old.filter(|_| new.is_none())?;
    Some(Change::Delete(key(&metadata.namespace, &metadata.name)))
}
