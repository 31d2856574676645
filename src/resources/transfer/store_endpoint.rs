//! Stores as endpoints.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::endpoint::{
    ListedObject, OverwritePolicy, TransferEndpoint, TransferError, TransferList, TransferPage,
};
use super::form::KeptForm;
use super::name::TransferName;
use crate::domain::registries::Registries;
use crate::meta::{Status, Time};
use crate::resources::Catalog;
use crate::resources::catalog::StorageLimits;
use crate::resources::import_export::{
    ConflictPolicy, ImageOrigin, ImportMode, Importer, StoredObject, is_exported, read_object,
};
use crate::resources::openshift_layout::StoredForm;
use crate::resources::superseded_images;
use crate::store::{At, Opened, Page, Range, StoreError};

/// Bytes of values of one page.
const PAGE_BYTES: usize = 4 << 20;
/// The prefixes of the keys of objects.
const PREFIXES: [&str; 3] =
    ["/image.openshift.io/images/", "/image.openshift.io/imagestreams/", superseded_images::PREFIX];

/// A store of any backend.
pub struct StoreEndpoint {
    name: String,
    opened: Opened,
    catalog: Catalog,
    now: Time,
}

impl StoreEndpoint {
    /// The endpoint of an open store with objects of this form. `name` names it in messages, `now`
    /// is the creationTimestamp of objects without one.
    pub fn new(name: String, opened: Opened, stored_form: StoredForm, now: Time) -> Self {
        let limits = StorageLimits { stored_form, ..StorageLimits::NONE };
        let catalog = Catalog::new(&opened.store, Registries::default(), &limits);
        Self { name, opened, catalog, now }
    }

    fn stored_form(&self) -> StoredForm {
        self.catalog.images.strategy().stored_form
    }

    fn importer(&self, existing: ConflictPolicy, mode: ImportMode) -> Importer<'_> {
        let origin = ImageOrigin::Store;
        Importer { catalog: &self.catalog, existing, mode, origin, now: self.now }
    }

    fn failed(&self, why: impl ToString) -> TransferError {
        TransferError::Endpoint { endpoint: self.name.clone(), why: why.to_string() }
    }

    fn unreadable(&self, error: &StoreError) -> TransferError {
        match error {
            StoreError::Damaged { .. } => self.failed(format!(
                "{error}: save the rest with `store export --skip-damaged`, import it into another \
                 store, and transfer that"
            )),
            StoreError::Compacted { .. } => {
                self.failed(format!("{error}: the list took too long, run the transfer again"))
            }
            other => self.failed(other),
        }
    }
}

impl TransferEndpoint for StoreEndpoint {
    fn count(&self) -> BoxFuture<'_, Result<Option<u64>, TransferError>> {
        let count = async {
            let mut count = 0;
            for prefix in PREFIXES {
                let range = Range { prefix: prefix.to_owned(), ..Range::default() };
                let outline = self.opened.store.outline(range).await;
                let outline = outline.map_err(|error| self.unreadable(&error))?;
                count += outline.entries + outline.remaining;
            }
            Ok(Some(count))
        };
        count.boxed()
    }

    fn list(&self) -> Box<dyn TransferList + '_> {
        let range = Range { bytes: PAGE_BYTES, ..Range::default() };
        Box::new(StoreList { endpoint: self, next: Some(range) })
    }

    fn form(&self) -> KeptForm {
        match self.stored_form() {
            StoredForm::Own => KeptForm::Whole,
            StoredForm::OpenShift => KeptForm::OpenShift,
        }
    }

    fn prepare(&self, object: StoredObject) -> Result<StoredObject, String> {
        let importer = self.importer(ConflictPolicy::Replace, ImportMode::DryRun);
        let prepared = importer.prepare(object).map_err(explained)?;
        Ok(match self.form() {
            KeptForm::Whole => prepared,
            form => form.reduce(&prepared),
        })
    }

    fn put(
        &self,
        objects: Vec<StoredObject>,
        overwrite: OverwritePolicy,
    ) -> BoxFuture<'_, Result<Vec<Result<(), String>>, TransferError>> {
        let existing = match overwrite {
            OverwritePolicy::Refuse => ConflictPolicy::Refuse,
            OverwritePolicy::Replace => ConflictPolicy::Replace,
        };
        let put = async move {
            let imported = self.importer(existing, ImportMode::Write).import(objects).await;
            let done = imported.into_iter().map(|imported| match imported {
                Ok(_) => Ok(Ok(())),
                Err(status) if is_about_object(&status) => Ok(Err(explained(status))),
                Err(status) => Err(self.failed(explained(status))),
            });
            done.collect()
        };
        put.boxed()
    }
}

/// Returns true for the error of one object. Others would meet every object.
fn is_about_object(status: &Status) -> bool {
    (400..500).contains(&status.code) && status.code != 429
}

/// The message of an error for the user of the command, who also sees hidden causes.
fn explained(status: Status) -> String {
    match status.hidden {
        Some(cause) => format!("{} ({cause})", status.message),
        None => status.message,
    }
}

/// A list of the objects of a store, at the revision of its first page.
struct StoreList<'a> {
    endpoint: &'a StoreEndpoint,
    next: Option<Range>,
}

impl StoreList<'_> {
    async fn read(&mut self) -> Result<Option<TransferPage>, TransferError> {
        let Some(mut range) = self.next.take() else { return Ok(None) };
        let page = self.endpoint.opened.store.range(range.clone()).await;
        let Page { entries, revision, more } =
            page.map_err(|error| self.endpoint.unreadable(&error))?;
        let mut page = TransferPage { version: revision.0, ..TransferPage::default() };
        for entry in entries.iter().filter(|entry| is_exported(&entry.key)) {
            match read_object(entry, self.endpoint.stored_form()) {
                Ok(Some(object)) => {
                    let name = TransferName::of(&object);
                    page.objects.push(ListedObject { name, object, version: entry.revision.0 });
                }
                Ok(None) => {}
                Err(why) => page.unreadable.push(why),
            }
        }
        if let Some(last) = entries.last().filter(|_| more) {
            range.start = Some(format!("{}\0", last.key));
            range.at = At::Revision(revision);
            self.next = Some(range);
        }
        Ok(Some(page))
    }
}

impl TransferList for StoreList<'_> {
    fn next_page(&mut self) -> BoxFuture<'_, Result<Option<TransferPage>, TransferError>> {
        self.read().boxed()
    }
}
