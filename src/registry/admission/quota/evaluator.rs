//! The contract of evaluators, which count the objects that a write adds.

use futures_util::future::BoxFuture;

use crate::meta::Status;
use crate::registry::admission::attributes::{AdmissionAttributes, AdmissionTarget};

/// Counts the objects of one kind that a write adds. As `Evaluator` in
/// k8s.io/apiserver/pkg/quota/v1/interfaces.go.
pub trait QuotaEvaluator: Send + Sync {
    /// The names of the objects in quotas, sorted.
    fn resources(&self) -> &'static [&'static str];

    /// Returns true if such writes can add objects.
    fn handles(&self, target: &AdmissionTarget) -> bool;

    /// The number of objects that a write adds.
    ///
    /// # Errors
    /// Store failures.
    fn added<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
    ) -> BoxFuture<'a, Result<u64, Status>>;
}
