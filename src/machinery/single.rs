//! Values that are compared as a whole, such as the keys by which the items of a list are told apart, and their order.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Number, Value};

use crate::machinery::json;
use crate::meta::field::quote;

/// A value that is compared as a whole. The order is that of the reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Single {
    /// A number.
    Number(Ordered),
    /// A text.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// A list or an object, as compact JSON.
    Other(String),
    /// Nothing.
    Null,
}

/// A number with an order: by value, and of equal values by the way it is written.
#[derive(Clone, Debug)]
pub(crate) struct Ordered(Number);

impl Single {
    /// The value as compact JSON.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Number(Ordered(number)) => number.to_string(),
            Self::Text(text) => json_text(text),
            Self::Bool(value) => value.to_string(),
            Self::Other(json) => json.clone(),
            Self::Null => "null".into(),
        }
    }
}

impl From<&Value> for Single {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(Ordered(number.clone())),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => Self::Other(json_text(value)),
        }
    }
}

/// As people read it in errors.
impl fmt::Display for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quote(text)),
            other => f.write_str(&other.written()),
        }
    }
}

/// The compact JSON of a value, with the escapes of Go.
pub(crate) fn json_text<T: serde::Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8_lossy(&json::encode(value)).into_owned()
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        let value = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
        let written = || self.0.to_string().cmp(&other.0.to_string());
        value(&self.0).total_cmp(&value(&other.0)).then_with(written)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ordered {}
