//! Charges to quotas, which are written to the cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::evaluator::QuotaEvaluator;
use crate::cluster::{Amounts, Quota, QuotaClient, QuotaPlace, QuotaRequestError, QuotaWrite};
use crate::meta::{GroupResource, Quantity, Status};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::admission::attributes::AdmissionAttributes;
use crate::runtime::KeyedMutex;

/// Checks and charges quotas of the cluster. Writes of this process to a quota take turns, so that
/// only other processes cause conflicts.
pub struct QuotaLedger {
    client: QuotaClient,
    evaluator: Arc<dyn QuotaEvaluator>,
    turns: KeyedMutex<QuotaPlace>,
}

/// The number of attempts to charge a quota that other processes change.
const MAX_ATTEMPTS: usize = 10;

impl QuotaLedger {
    /// The ledger for the objects that an evaluator counts.
    pub fn new(client: QuotaClient, evaluator: Arc<dyn QuotaEvaluator>) -> Self {
        Self { client, evaluator, turns: KeyedMutex::default() }
    }

    /// The evaluator.
    pub(super) fn evaluator(&self) -> &dyn QuotaEvaluator {
        &*self.evaluator
    }

    /// Charges the objects that a write adds to quotas. A dry run only checks them. As `checkQuotas`
    /// in k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go.
    ///
    /// # Errors
    /// 403 for a quota that would be exceeded or is not counted yet, 409 if a quota changes all the
    /// time, and 503 if the control plane does not respond.
    pub(super) async fn charge(
        &self,
        places: BTreeSet<QuotaPlace>,
        attributes: &AdmissionAttributes,
        actor: &Actor,
    ) -> Result<(), Status> {
        if places.is_empty() {
            return Ok(());
        }
        let added = self.evaluator.added(attributes).await?;
        if added == 0 {
            return Ok(());
        }
        let mut turns = Vec::with_capacity(places.len());
        // All writes take the turns in the same order.
        for place in &places {
            turns.push(self.turns.lock(place.clone()).await);
        }
        let mut places: Vec<QuotaPlace> = places.into_iter().collect();
        for _ in 0..MAX_ATTEMPTS {
            let charges = self.check(&places, added, attributes).await?;
            if actor.dry_run == DryRun::All {
                return Ok(());
            }
            places.clear();
            for (quota, used) in charges {
                let namespace = &attributes.namespace;
                match self.client.set_used(&quota, namespace, &used).await {
                    Ok(QuotaWrite::Stored | QuotaWrite::Gone) => {}
                    Ok(QuotaWrite::Conflict) => places.push(quota.place),
                    Err(error) => return Err(failure(attributes, &error)),
                }
            }
            if places.is_empty() {
                return Ok(());
            }
        }
        Err(busy(&places))
    }

    /// The new usage of each quota that limits the objects.
    async fn check(
        &self,
        places: &[QuotaPlace],
        added: u64,
        attributes: &AdmissionAttributes,
    ) -> Result<Vec<(Quota, Amounts)>, Status> {
        let mut charges = Vec::new();
        for place in places {
            let found = self.client.get(place).await;
            let Some(quota) = found.map_err(|error| failure(attributes, &error))? else {
                continue;
            };
            let used = new_usage(&quota, self.evaluator.resources(), added);
            let used = used.map_err(|why| attributes.forbidden(&why))?;
            if !used.is_empty() {
                charges.push((quota, used));
            }
        }
        Ok(charges)
    }
}

/// The usage of the limited resources after `added` objects; empty if the quota limits none of
/// them. As `CheckRequest` in controller.go.
///
/// # Errors
/// A sentence for the client about a quota that would be exceeded, or is not counted yet.
pub(super) fn new_usage(quota: &Quota, resources: &[&str], added: u64) -> Result<Amounts, String> {
    // Scopes select pods.
    let limited: Vec<&str> = match quota.is_scoped {
        true => Vec::new(),
        false => resources.iter().copied().filter(|name| quota.hard.contains_key(*name)).collect(),
    };
    let name = quota.place.name();
    if limited.iter().any(|resource| !quota.used.contains_key(*resource)) {
        let resources = limited.join(",");
        return Err(format!("status unknown for quota: {name}, resources: {resources}"));
    }
    let requested = Quantity::of_count(added);
    let used = limited.iter().map(|resource| (*resource, quota.used[*resource].plus(requested)));
    let used: Vec<(&str, Quantity)> = used.collect();
    let exceeded: Vec<&str> = used
        .iter()
        .filter(|(resource, used)| *used > quota.hard[*resource])
        .map(|(resource, _)| *resource)
        .collect();
    if exceeded.is_empty() {
        return Ok(used.into_iter().map(|(name, used)| (name.to_owned(), used)).collect());
    }
    let shown = |amount: &dyn Fn(&str) -> Quantity| {
        let amounts = exceeded.iter().map(|name| format!("{name}={}", amount(name)));
        amounts.collect::<Vec<_>>().join(",")
    };
    Err(format!(
        "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
        shown(&|_| requested),
        shown(&|name| quota.used[name]),
        shown(&|name| quota.hard[name])
    ))
}

fn failure(attributes: &AdmissionAttributes, error: &QuotaRequestError) -> Status {
    match error {
        QuotaRequestError::Forbidden { .. } => attributes.forbidden(&error.to_string()),
        QuotaRequestError::Unavailable { .. } => {
            let namespace = crate::meta::field::quote(&attributes.namespace);
            let text = format!(
                "the quotas of the namespace {namespace} could not be checked: the control plane does not respond; try \
                 again later"
            );
            Status { hidden: Some(error.to_string()), ..Status::unavailable(text) }
        }
    }
}

fn busy(places: &[QuotaPlace]) -> Status {
    let resource = match places.first() {
        Some(QuotaPlace::Cluster { .. }) => {
            GroupResource { group: "quota.openshift.io", name: "clusterresourcequotas" }
        }
        Some(QuotaPlace::Namespace { .. }) | None => {
            GroupResource { group: "", name: "resourcequotas" }
        }
    };
    let name = places.first().map_or("", QuotaPlace::name);
    Status::conflict(resource, name, "its usage changes all the time; try again")
}
