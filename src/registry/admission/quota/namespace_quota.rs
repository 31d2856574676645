//! The plugin for the quotas of a namespace.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::ledger::QuotaLedger;
use crate::cluster::{ClusterRules, NamespaceQuotas, QuotaPlace};
use crate::meta::Status;
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::{
    AdmissionAttributes, AdmissionPhase, AdmissionTarget, WriteOrigin, WriteSummary,
};
use crate::registry::admission::plugin::{AdmissionPlugin, Reservation};
use crate::registry::admission::unknown_rules::UnknownRules;

/// Charges objects to the ResourceQuotas of their namespace, as the plugin of the name
/// ResourceQuota in k8s.io/apiserver/pkg/admission/plugin/resourcequota.
pub struct ResourceQuotas {
    /// The quotas of the cluster.
    pub rules: ClusterRules<NamespaceQuotas>,
    /// The treatment of writes while they are unknown.
    pub unknown: UnknownRules,
    /// The ledger.
    pub ledger: Arc<QuotaLedger>,
}

impl ResourceQuotas {
    async fn charge(&self, attributes: &AdmissionAttributes, actor: &Actor) -> Result<(), Status> {
        let Self { rules, unknown, ledger } = self;
        if !unknown.wait_for(rules, "resource quotas", attributes, actor).await? {
            return Ok(());
        }
        let namespace = &attributes.namespace;
        let names = rules.read(|quotas| quotas.names(namespace)).unwrap_or_default();
        let place = |name| QuotaPlace::Namespace { namespace: namespace.clone(), name };
        ledger.charge(names.into_iter().map(place).collect(), attributes, actor).await
    }
}

impl AdmissionPlugin for ResourceQuotas {
    fn handles(&self, phase: AdmissionPhase, target: &AdmissionTarget) -> bool {
        phase == AdmissionPhase::Validate
            && target.origin == WriteOrigin::Request
            && self.ledger.evaluator().handles(target)
            && self.rules.read(NamespaceQuotas::is_empty) != Some(true)
    }

    fn concerns(&self, write: &WriteSummary<'_>) -> bool {
        self.rules.read(|quotas| quotas.has(write.namespace)) != Some(false)
    }

    fn validate<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        async move { self.charge(attributes, actor).await.map(|()| None) }.boxed()
    }
}
