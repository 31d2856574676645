//! The admission plugins of a server, from its flags.

use std::sync::Arc;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};
use kube::Client;

use crate::cluster::{
    ClusterQuotas, ClusterResourceQuota, ClusterRules, KindResources, NamespaceLimits,
    NamespaceQuotas, QuotaClient, RuleSource, WebhookClient, WebhookSet,
};
use crate::controllers::Controller;
use crate::registry::admission::configuration::AdmissionConfiguration;
use crate::registry::admission::namespace_lifecycle::NamespaceLifecycle;
use crate::registry::admission::owner_references::OwnerReferencesPermissionEnforcement;
use crate::registry::admission::plugin::AdmissionPlugin;
use crate::registry::admission::quota::{ClusterResourceQuotas, QuotaLedger, ResourceQuotas};
use crate::registry::admission::selection::{Options, PluginName};
use crate::registry::admission::unknown_rules::UnknownRules;
use crate::registry::admission::webhooks::{MutatingWebhooks, ValidatingWebhooks, WebhookCalls};
use crate::resources::catalog::WriteRules;
use crate::resources::limit_ranges::{self, LimitRanges};
use crate::resources::stream_quota::{self, StreamQuotaEvaluator};
use crate::store::Store;
use crate::telemetry::admission_metrics::AdmissionMetrics;

/// The rules for writes, and the controllers that keep them current.
pub(super) struct AdmissionSetup {
    pub(super) rules: WriteRules,
    pub(super) controllers: Vec<Box<dyn Controller>>,
    /// The quotas of namespaces; none without their plugin.
    pub(super) quotas: Option<ClusterRules<NamespaceQuotas>>,
}

/// The parts of the server that plugins need.
#[derive(Clone, Copy)]
pub(super) struct AdmissionInputs<'a> {
    /// The client of the control plane; none without a cluster.
    pub(super) control_plane: Option<&'a Client>,
    pub(super) store: &'a Arc<dyn Store>,
    pub(super) metrics: &'a AdmissionMetrics,
}

/// The rules of these flags. Without a cluster, the rules of a cluster do not apply, except that
/// names of namespaces must be valid.
///
/// # Errors
/// A selection or a configuration that cannot be used.
pub(super) fn open(
    options: &Options,
    inputs: AdmissionInputs<'_>,
) -> anyhow::Result<AdmissionSetup> {
    let selected = options.plugins()?;
    let configuration = match &options.admission_control_config_file {
        Some(file) => AdmissionConfiguration::read(file)?,
        None => AdmissionConfiguration::default(),
    };
    let AdmissionConfiguration { mutating, validating } = configuration;
    let mut setup = AdmissionSetup {
        rules: WriteRules { plugins: Vec::new(), ranges: LimitRanges::default() },
        controllers: Vec::new(),
        quotas: None,
    };
    let Some(cluster) = inputs.control_plane else {
        tracing::info!("without a control plane, no admission rules of a cluster apply");
        if selected.contains(&PluginName::NamespaceLifecycle) {
            setup.add(NamespaceLifecycle);
        }
        return Ok(setup);
    };
    let evaluator = Arc::new(StreamQuotaEvaluator::new(inputs.store.clone()));
    let rules = ClusterInputs {
        cluster,
        metrics: inputs.metrics,
        unknown: options.unknown_admission_rules,
        mutating: Arc::new(WebhookClient::new(mutating)),
        validating: Arc::new(WebhookClient::new(validating)),
        ledger: Arc::new(QuotaLedger::new(QuotaClient::new(cluster.clone()), evaluator)),
    };
    for name in selected {
        setup.add_plugin(name, &rules);
    }
    Ok(setup)
}

/// The parts of plugins with rules of a cluster.
struct ClusterInputs<'a> {
    cluster: &'a Client,
    metrics: &'a AdmissionMetrics,
    unknown: UnknownRules,
    mutating: Arc<WebhookClient>,
    validating: Arc<WebhookClient>,
    ledger: Arc<QuotaLedger>,
}

impl AdmissionSetup {
    fn add_plugin(&mut self, name: PluginName, inputs: &ClusterInputs<'_>) {
        let ClusterInputs { unknown, ref ledger, .. } = *inputs;
        match name {
            PluginName::NamespaceLifecycle => self.add(NamespaceLifecycle),
            PluginName::OwnerReferencesPermissionEnforcement => {
                let kinds = KindResources::new(inputs.cluster.clone());
                self.add(OwnerReferencesPermissionEnforcement::new(kinds));
            }
            PluginName::ImageLimitRange => {
                let none = NamespaceLimits::of_types(limit_ranges::TYPES);
                let (ranges, plugin) =
                    LimitRanges::of(self.follow::<LimitRange>(inputs, none), unknown);
                self.rules.ranges = ranges;
                self.add(plugin);
            }
            PluginName::ClusterResourceQuota => {
                let none = ClusterQuotas::of_resources(stream_quota::RESOURCES);
                let rules = self.follow::<ClusterResourceQuota>(inputs, none);
                self.add(ClusterResourceQuotas { rules, unknown, ledger: ledger.clone() });
            }
            PluginName::MutatingAdmissionWebhook => {
                let none = WebhookSet::default();
                let rules = self.follow::<MutatingWebhookConfiguration>(inputs, none);
                self.add(MutatingWebhooks::new(inputs.calls(rules, &inputs.mutating)));
            }
            PluginName::ValidatingAdmissionWebhook => {
                let none = WebhookSet::default();
                let rules = self.follow::<ValidatingWebhookConfiguration>(inputs, none);
                self.add(ValidatingWebhooks::new(inputs.calls(rules, &inputs.validating)));
            }
            PluginName::ResourceQuota => {
                let none = NamespaceQuotas::of_resources(stream_quota::RESOURCES);
                let rules = self.follow::<ResourceQuota>(inputs, none);
                self.quotas = Some(rules.clone());
                self.add(ResourceQuotas { rules, unknown, ledger: ledger.clone() });
            }
            // Policies have their places in the order of the names.
            PluginName::MutatingAdmissionPolicy | PluginName::ValidatingAdmissionPolicy => {}
        }
    }

    fn add(&mut self, plugin: impl AdmissionPlugin + 'static) {
        self.rules.plugins.push(Box::new(plugin));
    }

    /// The rules of objects of the cluster, which a controller keeps current.
    fn follow<S: RuleSource>(
        &mut self,
        inputs: &ClusterInputs<'_>,
        none: S::Rules,
    ) -> ClusterRules<S::Rules> {
        let (cluster, metrics) = (inputs.cluster.clone(), inputs.metrics.clone());
        let (rules, reflector) = ClusterRules::of::<S>(cluster, metrics, none);
        self.controllers.push(Box::new(reflector));
        rules
    }
}

impl ClusterInputs<'_> {
    fn calls(&self, rules: ClusterRules<WebhookSet>, client: &Arc<WebhookClient>) -> WebhookCalls {
        let (client, metrics) = (client.clone(), self.metrics.clone());
        WebhookCalls { rules, client, unknown: self.unknown, metrics }
    }
}
