//! One step of the path to a field: its name, the key or the value of a list's item, or an index.
//!
//! In JSON a step is a text: `f:<name>`, `k:<object of the keys>`, `v:<value>`, `i:<index>`. Steps are ordered in that way too.

use std::fmt;

use serde_json::{Map, Value};

use crate::machinery::json;
use crate::machinery::ordered_value::OrderedValue;
use crate::machinery::schema::ListKey;
use crate::meta::field::quote;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathElement {
    /// A field of an object.
    Field(String),
    /// The item of a list with these keys, sorted by name.
    Key(Vec<(String, OrderedValue)>),
    /// The item of a set.
    Value(OrderedValue),
    /// The item at this place of a list.
    Index(i64),
}

impl PathElement {
    /// Reads a step; none if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, content) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(content.to_owned())),
            "i" => content.parse().ok().map(Self::Index),
            "v" => serde_json::from_str(content).ok().map(|value: Value| Self::Value(OrderedValue::from(&value))),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(content).ok()?;
                let mut keys: Vec<_> =
                    keys.into_iter().map(|(name, value)| (name, OrderedValue::from(&value))).collect();
                keys.sort();
                Some(Self::Key(keys))
            }
            _ => None,
        }
    }

    /// The step as it stands in JSON.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let fields: Vec<_> =
                    keys.iter().map(|(name, value)| format!("{}:{}", json::to_text(name), value.to_json())).collect();
                format!("k:{{{}}}", fields.join(","))
            }
            Self::Value(value) => format!("v:{}", value.to_json()),
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
            Some(value) => Ok((key.name.clone(), OrderedValue::from(value))),
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
    pub(super) fn of_set_item(item: &Value) -> Result<Self, String> {
        match item {
            Value::Array(_) => Err("not supporting lists as elements".into()),
            Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
            scalar => Ok(Self::Value(OrderedValue::from(scalar))),
        }
    }
}

/// As in paths that people read: `.spec.tags[name="a"]`.
impl fmt::Display for PathElement {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_are_written() {
        for step in ["f:a:b", r#"k:{"name":"a\"b"}"#, r#"k:{"a":1,"b":true}"#, r#"v:"x""#, "v:1.5", "v:null", "i:-3"] {
            assert_eq!(PathElement::parse(step).unwrap().to_text(), step);
        }
        for step in ["", "f", "x:1", "k:[]", "k:{", "v:", "i:a"] {
            assert_eq!(PathElement::parse(step), None, "{step}");
        }
    }

    #[test]
    fn steps_are_ordered_by_kind_and_then_by_content() {
        let written = ["f:a", "f:b", r#"k:{"name":"a"}"#, r#"k:{"name":"b"}"#, "v:1", "v:2", r#"v:"1""#, "i:9", "i:10"];
        let mut steps: Vec<_> = written.iter().rev().map(|step| PathElement::parse(step).unwrap()).collect();
        steps.sort();
        assert_eq!(steps.iter().map(PathElement::to_text).collect::<Vec<_>>(), written);
    }

    #[test]
    fn people_read_paths() {
        let path = ["f:spec", r#"k:{"name":"a"}"#, r#"v:"x""#, "i:1"]
            .map(|step| PathElement::parse(step).unwrap().to_string());
        assert_eq!(path.concat(), r#".spec[name="a"][="x"][1]"#);
    }
}
