//! Damaged derived rows: they are rebuilt from their image when a read meets them.

use std::sync::Arc;

use super::catalog::Catalog;
use super::image_view::ImageView;
use super::manifest_lists::{self, MANIFEST_LISTS_KEY};
use super::packed_view;
use super::revision_cache::Revisioned;
use crate::api::Image;
use crate::meta::{Status, Time};
use crate::registry::actor::Actor;
use crate::registry::admission::chain::Admitted;
use crate::registry::guaranteed_update::{UpdateDecision, UpdateOutcome};
use crate::registry::object_change::{ObjectChange, WriteEffect};
use crate::registry::read_set::ReadSet;
use crate::registry::workload::Workload;
use crate::store::{Change, Charge, Key, ReadPoint};

/// The outcome of a rebuild.
enum Rebuild {
    /// The row was rebuilt, or another request has done that.
    Done,
    /// The image of the row does not exist.
    NoImage,
}

impl Catalog {
    /// Rebuilds the damaged view of an image and returns it; none without the image.
    ///
    /// The image is written too, unchanged, because a view has the revision of its image. If nothing
    /// can be written, the view is built for this request only.
    ///
    /// # Errors
    /// 500 if the image is unreadable too, and store failures.
    pub(super) async fn rebuild_view(
        &self,
        load: &Workload,
        name: &str,
    ) -> Result<Option<Arc<Revisioned<ImageView>>>, Status> {
        let keys = [packed_view::key(name), self.images.key("", name)];
        let rebuild =
            |image: &Image| self.images.change(&keys[1], ("", name), Some(image), Some(image));
        match self.rebuild(load, &keys, rebuild).await {
            Ok(Rebuild::Done) => {
                // After a write, the freshness of earlier reads is not enough.
                let point = ReadPoint::default();
                self.read_image_view(load, &point, name).await.map_err(Status::from)
            }
            Ok(Rebuild::NoImage) => Ok(None),
            Err(failure) => {
                let image = self.images.find(load, "", name).await?;
                self.log_failed_rebuild(&keys[0], &failure);
                let view = image.map(|image| ImageView::of_image(&image)).transpose()?;
                Ok(view.map(|view| {
                    let revision = view.revision;
                    Arc::new(Revisioned::once(view, revision))
                }))
            }
        }
    }

    /// Rebuilds a damaged row about manifest lists.
    ///
    /// # Errors
    /// 500 if the image of the row is unreadable too, and store failures.
    pub(super) async fn rebuild_children(&self, load: &Workload, key: &Key) -> Result<(), Status> {
        let Some(name) = manifest_lists::list_of(key) else {
            // The row about all lists has no content but its revision.
            let row = Change::Put(Key::new(MANIFEST_LISTS_KEY), "".into());
            return self.rebuild_row(load, key, vec![row]).await;
        };
        let keys = [key.clone(), self.images.key("", name)];
        let rebuild = |image: &Image| {
            let rows = manifest_lists::changes(None, Some(image));
            let rows = if rows.is_empty() { manifest_lists::removal(name) } else { rows };
            Ok(self.change_of_rows(rows))
        };
        match self.rebuild(load, &keys, rebuild).await? {
            Rebuild::Done => Ok(()),
            Rebuild::NoImage => self.rebuild_row(load, key, manifest_lists::removal(name)).await,
        }
    }

    /// Rebuilds the damaged row of the first key from the image of the second one.
    async fn rebuild(
        &self,
        load: &Workload,
        keys: &[Key; 2],
        change: impl Fn(&Image) -> Result<ObjectChange, Status>,
    ) -> Result<Rebuild, Status> {
        let [row, image] = keys;
        let attempt = |read_set: &ReadSet, _: &Admitted| {
            if read_set.entry(row).is_ok() {
                return Ok(UpdateDecision::Keep(Rebuild::Done));
            }
            let image =
                read_set.entry(image)?.map(|entry| self.images.decode(entry)).transpose()?;
            let Some(image) = image else { return Ok(UpdateDecision::Keep(Rebuild::NoImage)) };
            let change = ObjectChange { charge: Charge::Nobody, ..change(&image)? };
            Ok(UpdateDecision::Write(vec![change], Rebuild::Done))
        };
        match self.storage.guaranteed_update(&rebuilder(load), keys, attempt).await? {
            UpdateOutcome::Committed(rebuild, _) => {
                log_rebuild(row);
                Ok(rebuild)
            }
            UpdateOutcome::Unchanged(rebuild) => Ok(rebuild),
        }
    }

    /// Rebuilds a damaged row whose content does not depend on an image.
    async fn rebuild_row(
        &self,
        load: &Workload,
        key: &Key,
        rows: Vec<Change>,
    ) -> Result<(), Status> {
        let attempt = |read_set: &ReadSet, _: &Admitted| {
            Ok(match read_set.entry(key) {
                Ok(_) => UpdateDecision::Keep(()),
                Err(_) => UpdateDecision::Write(vec![self.change_of_rows(rows.clone())], ()),
            })
        };
        let (actor, keys) = (rebuilder(load), std::slice::from_ref(key));
        let done = self.storage.guaranteed_update(&actor, keys, attempt).await?;
        if let UpdateOutcome::Committed(..) = done {
            log_rebuild(key);
        }
        Ok(())
    }

    fn change_of_rows(&self, rows: Vec<Change>) -> ObjectChange {
        ObjectChange {
            resource: self.images.resource(),
            namespace: String::new(),
            effect: WriteEffect::Updated,
            rows,
            charge: Charge::Nobody,
        }
    }

    /// Logs that a row cannot be rebuilt, once for each row.
    fn log_failed_rebuild(&self, key: &Key, failure: &Status) {
        if self.record_damage(key) {
            let cause = failure.hidden.as_deref().unwrap_or(&failure.message);
            tracing::error!(%key, cause, "a damaged derived row cannot be rebuilt; its content is computed for each request");
        }
    }
}

/// The actor of a rebuild within a request.
fn rebuilder(load: &Workload) -> Actor {
    Actor { load: load.clone(), ..Actor::internal("derived-rows", Time::now()) }
}

fn log_rebuild(key: &Key) {
    tracing::warn!(%key, "a damaged derived row was rebuilt from its image; check the disk");
}
