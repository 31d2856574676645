//! `--enable-admission-plugins` and `--disable-admission-plugins`: the plugins that run.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::unknown_rules::UnknownRules;

/// Flags of admission.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
#[command(next_help_heading = "Admission")]
pub struct Options {
    /// Admission plugins that run, besides those that run by default.
    ///
    /// All plugins that this server has run by default. Their order in the list does not matter.
    #[arg(long, value_name = "NAME", value_delimiter = ',', hide_possible_values = true)]
    pub enable_admission_plugins: Vec<PluginName>,
    /// Admission plugins that do not run.
    ///
    /// Plugins: NamespaceLifecycle, OwnerReferencesPermissionEnforcement,
    /// image.openshift.io/ImageLimitRange (limits on images and on streams),
    /// quota.openshift.io/ClusterResourceQuota, MutatingAdmissionWebhook,
    /// ValidatingAdmissionWebhook, ResourceQuota. MutatingAdmissionPolicy and
    /// ValidatingAdmissionPolicy are accepted here too, but this server does not have them.
    #[arg(long, value_name = "NAME", value_delimiter = ',', hide_possible_values = true)]
    pub disable_admission_plugins: Vec<PluginName>,
    /// AdmissionConfiguration of apiserver.config.k8s.io/v1 with credentials for webhooks.
    ///
    /// The plugins MutatingAdmissionWebhook and ValidatingAdmissionWebhook can have a
    /// WebhookAdmissionConfiguration, whose kubeConfigFile has a user for each host. The files are
    /// read at the start, token files for each call.
    #[arg(long, value_name = "FILE")]
    pub admission_control_config_file: Option<PathBuf>,
    /// Treatment of writes while rules of the cluster are not known: deny or warn.
    ///
    /// The rules are webhook configurations, limit ranges and quotas. They are not known until the
    /// control plane has responded once, or without the permission to list them. With `deny`, writes
    /// that they may concern wait up to 10s and then get 403. With `warn`, they go on without the
    /// rules, and the client gets a warning.
    #[arg(long, value_name = "deny|warn", default_value = "deny", hide_possible_values = true)]
    pub unknown_admission_rules: UnknownRules,
}

/// An admission plugin of kube-apiserver or of openshift-apiserver.
// The order is that in which plugins run, as `OpenShiftAdmissionPlugins` in
// github.com/openshift/openshift-apiserver/pkg/cmd/openshift-apiserver/openshiftadmission/register.go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum PluginName {
    /// Namespaces that exist.
    NamespaceLifecycle,
    /// Permissions for owner references.
    OwnerReferencesPermissionEnforcement,
    /// Limits of images and streams.
    #[value(name = "image.openshift.io/ImageLimitRange")]
    ImageLimitRange,
    /// Quotas of several namespaces.
    #[value(name = "quota.openshift.io/ClusterResourceQuota")]
    ClusterResourceQuota,
    /// Mutating policies.
    MutatingAdmissionPolicy,
    /// Mutating webhooks.
    MutatingAdmissionWebhook,
    /// Validating policies.
    ValidatingAdmissionPolicy,
    /// Validating webhooks.
    ValidatingAdmissionWebhook,
    /// Quotas of namespaces.
    ResourceQuota,
}

/// A selection that contradicts itself or this server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// A plugin in both flags.
    #[error(
        "{0} is in both --enable-admission-plugins and --disable-admission-plugins: remove it from one"
    )]
    Overlapped(PluginName),
    /// A plugin that this server does not have.
    #[error("--enable-admission-plugins: this server has no {0}: remove it from the list")]
    Missing(PluginName),
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl PluginName {
    /// The plugins that this server has, in the order in which they run.
    const AVAILABLE: [Self; 7] = [
        Self::NamespaceLifecycle,
        Self::OwnerReferencesPermissionEnforcement,
        Self::ImageLimitRange,
        Self::ClusterResourceQuota,
        Self::MutatingAdmissionWebhook,
        Self::ValidatingAdmissionWebhook,
        Self::ResourceQuota,
    ];
}

impl Options {
    /// The plugins that run, in their order.
    ///
    /// # Errors
    /// A plugin that is enabled and disabled, or that this server does not have.
    pub fn plugins(&self) -> Result<Vec<PluginName>, SelectionError> {
        let (enabled, disabled) = (&self.enable_admission_plugins, &self.disable_admission_plugins);
        if let Some(both) = enabled.iter().find(|name| disabled.contains(name)) {
            return Err(SelectionError::Overlapped(*both));
        }
        if let Some(missing) = enabled.iter().find(|name| !PluginName::AVAILABLE.contains(name)) {
            return Err(SelectionError::Missing(*missing));
        }
        let runs = |name: &PluginName| !disabled.contains(name);
        Ok(PluginName::AVAILABLE.into_iter().filter(runs).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugins(enabled: &[PluginName], disabled: &[PluginName]) -> Result<Vec<PluginName>, String> {
        let options = Options {
            enable_admission_plugins: enabled.to_vec(),
            disable_admission_plugins: disabled.to_vec(),
            ..Options::default()
        };
        options.plugins().map_err(|error| error.to_string())
    }

    #[test]
    fn available_plugins_run_in_order_unless_disabled() {
        use PluginName::{
            ClusterResourceQuota, ImageLimitRange, MutatingAdmissionWebhook, NamespaceLifecycle,
            OwnerReferencesPermissionEnforcement, ResourceQuota, ValidatingAdmissionPolicy,
            ValidatingAdmissionWebhook,
        };
        assert!(PluginName::AVAILABLE.is_sorted());
        let all = PluginName::AVAILABLE.to_vec();
        assert_eq!(plugins(&[OwnerReferencesPermissionEnforcement], &[]), Ok(all));
        let disabled =
            [ValidatingAdmissionWebhook, OwnerReferencesPermissionEnforcement, ResourceQuota];
        let left = vec![
            NamespaceLifecycle,
            ImageLimitRange,
            ClusterResourceQuota,
            MutatingAdmissionWebhook,
        ];
        assert_eq!(plugins(&[], &disabled), Ok(left));
        let both = plugins(&[NamespaceLifecycle], &[NamespaceLifecycle]).unwrap_err();
        assert!(both.starts_with("NamespaceLifecycle is in both"), "{both}");
        let missing = plugins(&[ValidatingAdmissionPolicy], &[]).unwrap_err();
        assert!(missing.contains("this server has no ValidatingAdmissionPolicy"), "{missing}");
    }
}
