//! Causes of a Status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TextSize;

/// StatusCause describes an individual error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.StatusCause")]
pub struct StatusCause {
    /// Reason is a machine-readable description of the error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Message is a human-readable description of the error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Field is the path of the field that caused the error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl TextSize for StatusCause {
    fn text_bytes(&self) -> usize {
        self.reason.len() + self.message.len() + self.field.len()
    }
}
