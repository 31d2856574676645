//! Directives of strategic merge patches, and the errors that a patch can have.

use serde_json::{Map, Value};

use crate::machinery::go_fmt;
use crate::machinery::step_budget::BudgetExhausted;

pub(super) const PATCH: &str = "$patch";
pub(super) const RETAIN_KEYS: &str = "$retainKeys";
pub(super) const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";
pub(super) const SET_ELEMENT_ORDER: &str = "$setElementOrder";

/// Error of applying a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StrategicMergeError {
    /// The patch is invalid, with a message for the client.
    Format(String),
    /// The patch is not supported. Kubernetes does not report details.
    Unsupported,
    /// The patch takes too many steps.
    Exhausted(BudgetExhausted),
}

impl From<BudgetExhausted> for StrategicMergeError {
    fn from(exhausted: BudgetExhausted) -> Self {
        Self::Exhausted(exhausted)
    }
}

impl StrategicMergeError {
    pub(super) fn format(reason: impl Into<String>) -> Self {
        Self::Format(reason.into())
    }

    /// Error for an item without its merge key.
    pub(super) fn no_merge_key(item: &Map<String, Value>, key: &str) -> Self {
        let item = go_fmt::map(item);
        Self::Format(format!("map: {item} does not contain declared merge key: {key}"))
    }
}

pub(super) fn unknown_directive(
    directive: &Value,
    patch: &Map<String, Value>,
) -> StrategicMergeError {
    StrategicMergeError::format(format!(
        "unknown patch type: {} in map: {}",
        go_fmt::value(directive),
        go_fmt::map(patch)
    ))
}

/// The patch without directives and `null` fields, for a field that does not exist
/// (`removeDirectives`, `discardNullValuesFromPatch`).
pub(super) fn without_directives(patch: &Value) -> Value {
    let is_directive = |name: &str| {
        [PATCH, RETAIN_KEYS, DELETE_FROM_PRIMITIVE_LIST, SET_ELEMENT_ORDER]
            .iter()
            .any(|key| name.starts_with(key))
    };
    match patch {
        Value::Object(fields) => {
            let fields =
                fields.iter().filter(|(name, value)| !is_directive(name) && !value.is_null());
            match patch.get(PATCH).and_then(Value::as_str) {
                Some("delete") => Value::Object(Map::new()),
                _ => Value::Object(
                    fields.map(|(name, value)| (name.clone(), without_directives(value))).collect(),
                ),
            }
        }
        Value::Array(items) => {
            let items = items.iter().filter(|item| item.get(PATCH).is_none());
            Value::Array(items.map(without_directives).collect())
        }
        scalar => scalar.clone(),
    }
}
