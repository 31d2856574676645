//! JSON values with a total order, for keys of associative lists and members of sets.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Number, Value};

use crate::machinery::json;
use crate::meta::field::quote;

/// A JSON value. Scalars have the order of `value.Compare` in
/// `sigs.k8s.io/structured-merge-diff/value`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OrderedValue {
    /// A number.
    Number(OrderedNumber),
    /// A string.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// A list or an object, as compact JSON.
    Other(String),
    /// `null`.
    Null,
}

/// A number with a total order: by value, then by text.
#[derive(Clone, Debug)]
pub(crate) struct OrderedNumber(Number);

impl OrderedValue {
    /// The value as compact JSON.
    pub(crate) fn to_json(&self) -> String {
        match self {
            Self::Number(OrderedNumber(number)) => number.to_string(),
            Self::Text(text) => json::to_text(text),
            Self::Bool(value) => value.to_string(),
            Self::Other(json) => json.clone(),
            Self::Null => "null".into(),
        }
    }
}

impl From<&Value> for OrderedValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(OrderedNumber(number.clone())),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => Self::Other(json::to_text(value)),
        }
    }
}

/// Formats the value for error messages, with strings quoted as in Go.
impl fmt::Display for OrderedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quote(text)),
            other => f.write_str(&other.to_json()),
        }
    }
}

impl Ord for OrderedNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let value = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
        let text = || self.0.to_string().cmp(&other.0.to_string());
        value(&self.0).total_cmp(&value(&other.0)).then_with(text)
    }
}

impl PartialOrd for OrderedNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OrderedNumber {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for OrderedNumber {}
