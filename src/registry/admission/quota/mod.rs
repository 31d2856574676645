//! Quotas of the cluster for the objects of this server.
//!
//! A write that adds a counted object reserves its place before it is committed, by a guarded write
//! of the quota's status, as in k8s.io/apiserver/pkg/admission/plugin/resourcequota. A write that
//! fails after that does not release the place: the recount of the quota's controller corrects the
//! usage.

mod cluster_quota;
mod evaluator;
mod ledger;
mod namespace_quota;
#[cfg(test)]
mod tests;

pub use cluster_quota::ClusterResourceQuotas;
pub use evaluator::QuotaEvaluator;
pub use ledger::QuotaLedger;
pub use namespace_quota::ResourceQuotas;
