//! Client of the control plane: configuration, reviews, Namespaces, Secrets, the APIService, and
//! the rules of the cluster for writes: webhooks, limits and quotas.
//!
//! The module knows the objects of Kubernetes, not images or requests.

mod by_namespace;
mod client_certificate;
mod cluster_resource_quota;
mod connect;
mod deployment;
mod error_message;
mod event_book;
mod events;
mod failure;
mod kinds;
mod limit_ranges;
mod namespaces;
mod object_event;
pub mod object_watch;
mod quota_client;
mod quota_lists;
mod reloading_client;
mod reviews;
mod rules;
mod secret_watch;
mod secrets;
mod webhook;
mod webhook_client;
mod webhook_credentials;
mod webhook_response;
mod webhook_set;

pub use cluster_resource_quota::{ClusterQuotaSelector, ClusterResourceQuota};
pub use connect::{ClientReloads, Clients, ConnectError, Options, client_of};
pub use deployment::desired_replicas;
pub use error_message::error_message;
pub use events::{EventRecorder, EventSender};
pub use failure::Fault;
pub use kinds::{KindError, KindResource, KindResources, KindScope};
pub use limit_ranges::NamespaceLimits;
pub use namespaces::{NamespaceReflector, NamespaceState, NamespaceUnavailable, Namespaces};
pub use object_event::{EventSubject, ObjectEvent, ObjectEventType};
pub use quota_client::{Amounts, Quota, QuotaClient, QuotaPlace, QuotaRequestError, QuotaWrite};
pub use quota_lists::{ClusterQuotas, NamespaceQuotas};
pub use reviews::{DELEGATOR, ReviewClient, ReviewError, ReviewHealth};
pub use rules::{ClusterRules, RuleSource, RulesReflector, RulesUnknown};
pub use secret_watch::{SecretChanges, SecretWatch};
pub use secrets::{NamespaceSecrets, Secrets, SecretsUnavailable};
pub use webhook::{
    FailurePolicy, Reinvocation, ReviewVersion, RuleSubject, SideEffects, Webhook,
    WebhookConfiguration, WebhookPhase, WebhookTarget,
};
pub use webhook_client::WebhookClient;
pub use webhook_credentials::{WebhookCredentials, WebhookCredentialsError, WebhookUser};
pub use webhook_response::{WebhookCallError, WebhookResponse};
pub use webhook_set::WebhookSet;
