//! The plugin for quotas of several namespaces.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::ledger::QuotaLedger;
use crate::cluster::{ClusterQuotas, ClusterRules, NamespaceUnavailable, QuotaPlace};
use crate::meta::Status;
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::{
    AdmissionAttributes, AdmissionPhase, AdmissionTarget, WriteOrigin,
};
use crate::registry::admission::plugin::{AdmissionPlugin, Reservation};
use crate::registry::admission::unknown_rules::UnknownRules;

/// Charges objects to the ClusterResourceQuotas that select their namespace, as the plugin of the
/// name quota.openshift.io/ClusterResourceQuota in apiserver-library-go
/// pkg/admission/quota/clusterresourcequota.
pub struct ClusterResourceQuotas {
    /// The quotas of the cluster.
    pub rules: ClusterRules<ClusterQuotas>,
    /// The treatment of writes while they are unknown.
    pub unknown: UnknownRules,
    /// The ledger.
    pub ledger: Arc<QuotaLedger>,
}

impl ClusterResourceQuotas {
    async fn charge(&self, attributes: &AdmissionAttributes, actor: &Actor) -> Result<(), Status> {
        let Self { rules, unknown, ledger } = self;
        if !unknown.wait_for(rules, "cluster resource quotas", attributes, actor).await? {
            return Ok(());
        }
        let names = self.names(&attributes.namespace, actor).await;
        let names = names.map_err(|unknown| Status::unavailable(unknown.to_string()))?;
        let place = |name| QuotaPlace::Cluster { name };
        ledger.charge(names.into_iter().map(place).collect(), attributes, actor).await
    }

    /// The names of the quotas of a namespace.
    async fn names(
        &self,
        namespace: &str,
        actor: &Actor,
    ) -> Result<Vec<String>, NamespaceUnavailable> {
        let Some(labels) = actor.namespaces.labels(namespace).await? else {
            return Ok(Vec::new());
        };
        let annotations = match self.rules.read(ClusterQuotas::select_annotations) {
            Some(true) => actor.namespaces.annotations(namespace).await?.unwrap_or_default(),
            Some(false) | None => BTreeMap::new(),
        };
        Ok(self.rules.read(|quotas| quotas.names(&labels, &annotations)).unwrap_or_default())
    }
}

impl AdmissionPlugin for ClusterResourceQuotas {
    fn handles(&self, phase: AdmissionPhase, target: &AdmissionTarget) -> bool {
        phase == AdmissionPhase::Validate
            && target.origin == WriteOrigin::Request
            && self.ledger.evaluator().handles(target)
            && self.rules.read(ClusterQuotas::is_empty) != Some(true)
    }

    fn validate<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        async move { self.charge(attributes, actor).await.map(|()| None) }.boxed()
    }
}
