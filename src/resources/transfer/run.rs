//! The transfer: copies what the target lacks, then verifies.

use std::collections::HashSet;

use super::cursor::TransferCursor;
use super::endpoint::{ListedObject, OverwritePolicy, TransferEndpoint, TransferError};
use super::form::KeptForm;
use super::name::TransferName;
use super::report::{ReducedObjects, TransferReport};
use super::verification::{Verifier, equal_bytes};
use crate::api::{Evidence, Proof};
use crate::resources::import_export::{ImportMode, StoredObject};

/// The most refused objects of a transfer. Their names are kept for the verification.
const MAX_REFUSED: usize = 100_000;

/// A transfer between two endpoints.
pub struct Transfer<'a> {
    /// The endpoint whose objects are read.
    pub source: &'a dyn TransferEndpoint,
    /// The endpoint that stores them.
    pub target: &'a dyn TransferEndpoint,
    /// The treatment of objects that differ in the target.
    pub overwrite: OverwritePolicy,
    /// Selects whether objects are stored.
    pub mode: ImportMode,
    /// Receives the progress.
    pub observer: &'a dyn TransferObserver,
}

/// A part of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferPhase {
    /// Objects are stored.
    Copy,
    /// Both endpoints are compared.
    Verify,
}

/// A receiver of the progress of a transfer.
pub trait TransferObserver: Send + Sync {
    /// A phase begins, for this number of objects if it is known.
    fn begun(&self, phase: TransferPhase, total: Option<u64>);
    /// An object of the source was read.
    fn advanced(&self);
    /// An object or entry was refused; a sentence that names it.
    fn refused(&self, why: &str);
}

impl Transfer<'_> {
    /// Transfers all objects, and compares the endpoints afterwards. A dry run only counts.
    ///
    /// # Errors
    /// An endpoint failed. A second run continues.
    pub async fn run(&self) -> Result<TransferReport, TransferError> {
        let total = self.source.count().await?;
        self.observer.begun(TransferPhase::Copy, total);
        let mut copy = CopyRun::new(self);
        let version = copy.run().await?;
        let CopyRun { mut report, refused, .. } = copy;
        if self.mode == ImportMode::Write {
            self.observer.begun(TransferPhase::Verify, total);
            let (source, target) = (self.source, self.target);
            let verifier = Verifier { source, target, version, refused: &refused };
            report.verification = Some(verifier.run(|| self.observer.advanced()).await?);
        }
        Ok(report)
    }
}

/// The state of the first phase.
struct CopyRun<'a> {
    transfer: &'a Transfer<'a>,
    report: TransferReport,
    refused: HashSet<TransferName>,
    /// Objects that are stored together.
    batch: Vec<StoredObject>,
    /// The same objects in other words, in their order.
    pending: Vec<PendingObject>,
}

/// An object that will be stored.
struct PendingObject {
    name: TransferName,
    effect: PutEffect,
    reduced: ReducedObjects,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PutEffect {
    Stored,
    Replaced,
}

/// The treatment of an object.
enum TransferStep {
    Skip,
    Put(PutEffect),
    Refuse(String),
}

impl<'a> CopyRun<'a> {
    fn new(transfer: &'a Transfer<'a>) -> Self {
        Self {
            transfer,
            report: TransferReport::default(),
            refused: HashSet::new(),
            batch: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Copies all objects. Returns the resourceVersion at which the source was read.
    async fn run(&mut self) -> Result<u64, TransferError> {
        let mut source = TransferCursor::new(self.transfer.source);
        let mut target = TransferCursor::new(self.transfer.target);
        while let Some(listed) = source.next().await? {
            self.transfer.observer.advanced();
            self.refuse_unreadable(source.take_unreadable())?;
            let (_, found) = target.seek(&listed.name).await?;
            let ListedObject { name, object, .. } = listed;
            match self.step(&object, found) {
                TransferStep::Skip => self.report.equal += 1,
                TransferStep::Put(effect) => self.add(name, effect, object),
                TransferStep::Refuse(why) => self.refuse(name, &why)?,
            }
            if source.is_at_page_end() {
                self.store().await?;
            }
        }
        self.refuse_unreadable(source.take_unreadable())?;
        Ok(source.version())
    }

    fn step(&self, object: &StoredObject, found: Option<ListedObject>) -> TransferStep {
        let Transfer { source, target, overwrite, mode, .. } = *self.transfer;
        let form = source.form();
        let effect = match &found {
            None => PutEffect::Stored,
            Some(found) if equal_bytes(form, target, object, &found.object).is_some() => {
                return TransferStep::Skip;
            }
            Some(found) if target.is_unfinished(&found.object) => PutEffect::Stored,
            Some(_) if overwrite == OverwritePolicy::Replace => PutEffect::Replaced,
            Some(found) => return TransferStep::Refuse(conflict(target, object, &found.object)),
        };
        match mode {
            ImportMode::Write => TransferStep::Put(effect),
            ImportMode::DryRun => match target.prepare(object.clone()) {
                Ok(_) => TransferStep::Put(effect),
                Err(why) => TransferStep::Refuse(why),
            },
        }
    }

    fn add(&mut self, name: TransferName, effect: PutEffect, object: StoredObject) {
        let reduced = reduced(self.transfer.target.form(), &object);
        let pending = PendingObject { name, effect, reduced };
        match self.transfer.mode {
            ImportMode::DryRun => self.count(&pending),
            ImportMode::Write => {
                self.batch.push(object);
                self.pending.push(pending);
            }
        }
    }

    /// Stores the batch.
    async fn store(&mut self) -> Result<(), TransferError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let Transfer { target, overwrite, .. } = *self.transfer;
        let results = target.put(std::mem::take(&mut self.batch), overwrite).await?;
        let pending = std::mem::take(&mut self.pending);
        for (pending, result) in pending.into_iter().zip(results) {
            match result {
                Ok(()) => self.count(&pending),
                Err(why) => self.refuse(pending.name, &why)?,
            }
        }
        Ok(())
    }

    fn count(&mut self, PendingObject { effect, reduced, .. }: &PendingObject) {
        match effect {
            PutEffect::Stored => {
                self.report.stored += 1;
                self.report.reduced.renewed += reduced.renewed;
            }
            // The API keeps the identity of the object that is replaced.
            PutEffect::Replaced => self.report.replaced += 1,
        }
        self.report.reduced.vouched += reduced.vouched;
        self.report.reduced.orphaned += reduced.orphaned;
        self.report.reduced.unrecorded += reduced.unrecorded;
        self.report.reduced.cropped += reduced.cropped;
    }

    fn refuse(&mut self, name: TransferName, why: &str) -> Result<(), TransferError> {
        self.transfer.observer.refused(&format!("{name}: {why}"));
        self.report.refused += 1;
        self.refused.insert(name);
        if self.refused.len() >= MAX_REFUSED {
            return Err(TransferError::TooManyRefused(MAX_REFUSED));
        }
        Ok(())
    }

    fn refuse_unreadable(&mut self, entries: Vec<String>) -> Result<(), TransferError> {
        for why in entries {
            self.transfer.observer.refused(&why);
            self.report.refused += 1;
        }
        Ok(())
    }
}

/// The reason why an object of the target is not replaced.
fn conflict(target: &dyn TransferEndpoint, object: &StoredObject, found: &StoredObject) -> String {
    let is_other = target.form() != KeptForm::Api && object.metadata().uid != found.metadata().uid;
    let difference = if is_other { "another object, with another uid," } else { "another version" };
    format!(
        "the target has {difference} of this name: run with --overwrite to replace it, or delete it there"
    )
}

/// The parts of an object that the target does not keep.
fn reduced(target: KeptForm, object: &StoredObject) -> ReducedObjects {
    let is_unproved = match object {
        StoredObject::Image(image) | StoredObject::Superseded(image) => {
            image.evidence.proof < Proof::Manifest
        }
        StoredObject::Stream(_) => false,
    };
    let is_recorded = match object {
        StoredObject::Image(image) | StoredObject::Superseded(image) => {
            image.evidence != Evidence::default()
        }
        StoredObject::Stream(stream) => !stream.unproved.is_empty(),
    };
    let is_api = target == KeptForm::Api;
    let has_unknown_fields = object.unknown_fields().message().is_some();
    ReducedObjects {
        renewed: u64::from(is_api),
        vouched: u64::from(is_api && is_unproved),
        orphaned: u64::from(is_api && !object.metadata().owner_references.is_empty()),
        unrecorded: u64::from(target == KeptForm::OpenShift && is_recorded),
        cropped: u64::from(target != KeptForm::OpenShift && has_unknown_fields),
    }
}
