//! Verification of a transfer: both endpoints are listed again and compared.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::cursor::TransferCursor;
use super::endpoint::{ListedObject, TransferEndpoint, TransferError};
use super::form::{KeptForm, has_equal_unknown_fields};
use super::name::TransferName;
use super::report::TransferVerification;
use crate::meta::hex;
use crate::resources::import_export::StoredObject;
use crate::store::Problems;

/// The endpoints and the subject of a verification.
pub(super) struct Verifier<'a> {
    pub(super) source: &'a dyn TransferEndpoint,
    pub(super) target: &'a dyn TransferEndpoint,
    /// The resourceVersion at which the source was read.
    pub(super) version: u64,
    /// Names of objects that were refused, and are not compared.
    pub(super) refused: &'a HashSet<TransferName>,
}

impl Verifier<'_> {
    /// Compares all objects of the source. `advanced` is called for each.
    ///
    /// # Errors
    /// An endpoint cannot be read.
    pub(super) async fn run(
        &self,
        advanced: impl Fn(),
    ) -> Result<TransferVerification, TransferError> {
        let mut source = TransferCursor::new(self.source);
        let mut target = TransferCursor::new(self.target);
        let mut digest = Sha256::new();
        let (mut equal, mut others, mut differences) = (0, 0, Problems::default());
        while let Some(listed) = source.next().await? {
            advanced();
            let (passed, found) = target.seek(&listed.name).await?;
            others += passed;
            if self.refused.contains(&listed.name) {
                continue;
            }
            let found = found.map(|found| found.object);
            let form = self.source.form();
            match found.as_ref().map(|found| equal_bytes(form, self.target, &listed.object, found))
            {
                Some(Some(bytes)) => {
                    equal += 1;
                    digest.update(&bytes);
                }
                Some(None) => differences.add(self.difference(&listed, "differs in the target")),
                None => differences.add(self.difference(&listed, "is missing in the target")),
            }
        }
        others += target.pass_rest().await?;
        Ok(TransferVerification {
            equal,
            digest: hex::encode(&digest.finalize()),
            others,
            differences,
        })
    }

    fn difference(&self, listed: &ListedObject, what: &str) -> String {
        let name = &listed.name;
        if listed.version > self.version {
            format!("{name} has changed in the source since it was read: run the transfer again")
        } else {
            format!("{name} {what}")
        }
    }
}

/// The bytes that an object of the source and one of the target have in common; `None` if they
/// differ. `source` is the form of the source, which may lack fields that the target sets.
pub(super) fn equal_bytes(
    source: KeptForm,
    target: &dyn TransferEndpoint,
    object: &StoredObject,
    found: &StoredObject,
) -> Option<Vec<u8>> {
    let form = KeptForm::compared(source, target.form());
    let keeps_unknown_fields = [source, target.form()] == [KeptForm::OpenShift; 2];
    if keeps_unknown_fields && !has_equal_unknown_fields(object, found) {
        return None;
    }
    let bytes = form.comparable(found);
    if form.comparable(object) == bytes {
        return Some(bytes);
    }
    let prepared = target.prepare(object.clone()).ok()?;
    (form.comparable(&prepared) == bytes).then_some(bytes)
}
