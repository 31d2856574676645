//! One step of the path to a field: its name, the key or the value of a list's item, or an index.
//!
//! In JSON a step is a text: `f:<name>`, `k:<object of the keys>`, `v:<value>`, `i:<index>`. Steps are ordered in that way too.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Number, Value};

use crate::meta::field::quote;
use crate::rest::json;
use crate::rest::schema::ListKey;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    /// A field of an object.
    Field(String),
    /// The item of a list with these keys, sorted by name.
    Key(Vec<(String, Single)>),
    /// The item of a set.
    Value(Single),
    /// The item at this place of a list.
    Index(i64),
}

/// A value that is compared as a whole. The order is that of the reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Single {
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
pub(super) struct Ordered(Number);

impl Element {
    /// Reads a step; none if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, content) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(content.to_owned())),
            "i" => content.parse().ok().map(Self::Index),
            "v" => serde_json::from_str(content).ok().map(|value: Value| Self::Value(Single::from(&value))),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(content).ok()?;
                let mut keys: Vec<_> = keys.into_iter().map(|(name, value)| (name, Single::from(&value))).collect();
                keys.sort();
                Some(Self::Key(keys))
            }
            _ => None,
        }
    }

    /// The step as it stands in JSON.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let fields: Vec<_> =
                    keys.iter().map(|(name, value)| format!("{}:{}", text(name), value.written())).collect();
                format!("k:{{{}}}", fields.join(","))
            }
            Self::Value(value) => format!("v:{}", value.written()),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// The step to an item of a list whose items are told apart by `keys`.
    ///
    /// # Errors
    /// A sentence about an item that lacks a key, or is no object.
    pub(super) fn of_item(item: &Value, keys: &[ListKey]) -> Result<Self, String> {
        const NO_OBJECT: &str = "associative list with keys may not have non-map elements";
        let fields = match item {
            Value::Null => return Err("associative list with keys may not have a null element".into()),
            item => item.as_object().ok_or(NO_OBJECT)?,
        };
        let of_key = |key: &ListKey| match fields.get(&key.name).or(key.default.as_ref()) {
            Some(value) => Ok((key.name.clone(), Single::from(value))),
            None => Err(format!(
                "associative list with keys has an element that omits key field {} (and doesn't have default value)",
                quote(&key.name)
            )),
        };
        keys.iter().map(of_key).collect::<Result<_, _>>().map(Self::Key)
    }

    /// The step to an item of a set.
    ///
    /// # Errors
    /// A sentence about an item that is no single value.
    pub(super) fn of_member(item: &Value) -> Result<Self, String> {
        match item {
            Value::Array(_) => Err("not supporting lists as elements".into()),
            Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
            single => Ok(Self::Value(Single::from(single))),
        }
    }
}

/// As in paths that people read: `.spec.tags[name="a"]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<_> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Single {
    fn written(&self) -> String {
        match self {
            Self::Number(Ordered(number)) => number.to_string(),
            Self::Text(value) => text(value),
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
            Value::Array(_) | Value::Object(_) => Self::Other(text(value)),
        }
    }
}

impl fmt::Display for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quote(text)),
            other => f.write_str(&other.written()),
        }
    }
}

/// The compact JSON of a value, with the escapes of Go.
fn text<T: serde::Serialize + ?Sized>(value: &T) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_are_written() {
        for step in ["f:a:b", r#"k:{"name":"a\"b"}"#, r#"k:{"a":1,"b":true}"#, r#"v:"x""#, "v:1.5", "v:null", "i:-3"] {
            assert_eq!(Element::parse(step).unwrap().written(), step);
        }
        for step in ["", "f", "x:1", "k:[]", "k:{", "v:", "i:a"] {
            assert_eq!(Element::parse(step), None, "{step}");
        }
    }

    #[test]
    fn steps_are_ordered_by_kind_and_then_by_content() {
        let written = ["f:a", "f:b", r#"k:{"name":"a"}"#, r#"k:{"name":"b"}"#, "v:1", "v:2", r#"v:"1""#, "i:9", "i:10"];
        let mut steps: Vec<_> = written.iter().rev().map(|step| Element::parse(step).unwrap()).collect();
        steps.sort();
        assert_eq!(steps.iter().map(Element::written).collect::<Vec<_>>(), written);
    }

    #[test]
    fn people_read_paths() {
        let path =
            ["f:spec", r#"k:{"name":"a"}"#, r#"v:"x""#, "i:1"].map(|step| Element::parse(step).unwrap().to_string());
        assert_eq!(path.concat(), r#".spec[name="a"][="x"][1]"#);
    }
}
