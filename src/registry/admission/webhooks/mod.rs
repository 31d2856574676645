//! Admission webhooks: plugins that ask the webhooks of the cluster.
//!
//! The order of calls, the requests and the texts of errors are those of
//! k8s.io/apiserver/pkg/admission/plugin/webhook.

mod call;
mod mutating;
mod review;
mod rules;
mod validating;

pub use mutating::MutatingWebhooks;
pub use rules::WebhookCalls;
pub use validating::ValidatingWebhooks;
