//! Elements of a field path (`fieldpath.PathElement` in `sigs.k8s.io/structured-merge-diff`).
//!
//! The text in `FieldsV1` is `f:<name>`, `k:<object of the keys>`, `v:<value>` or `i:<index>`.
//! Elements are ordered by kind in this order, then by content.

use std::fmt;

use serde_json::{Map, Value};

use crate::machinery::json;
use crate::machinery::ordered_value::OrderedValue;
use crate::machinery::schema::ListKey;
use crate::meta::field::quote;

/// An element of a field path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathElement {
    /// A field of an object.
    Field(String),
    /// A list item with these keys, sorted by name.
    Key(Vec<(String, OrderedValue)>),
    /// An item of a set.
    Value(OrderedValue),
    /// A list item with this index.
    Index(i64),
}

impl PathElement {
    /// Parses the text of an element; none if it is invalid.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, content) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(content.to_owned())),
            "i" => content.parse().ok().map(Self::Index),
            "v" => serde_json::from_str(content)
                .ok()
                .map(|value: Value| Self::Value(OrderedValue::from(&value))),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(content).ok()?;
                let mut keys: Vec<_> = keys
                    .into_iter()
                    .map(|(name, value)| (name, OrderedValue::from(&value)))
                    .collect();
                keys.sort();
                Some(Self::Key(keys))
            }
            _ => None,
        }
    }

    /// The text in `FieldsV1`.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let fields: Vec<_> = keys
                    .iter()
                    .map(|(name, value)| format!("{}:{}", json::to_text(name), value.to_json()))
                    .collect();
                format!("k:{{{}}}", fields.join(","))
            }
            Self::Value(value) => format!("v:{}", value.to_json()),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// The element of an item of an associative list with these keys.
    ///
    /// # Errors
    /// A sentence about an item that lacks a key or is not an object.
    pub(super) fn of_item(item: &Value, keys: &[ListKey]) -> Result<Self, String> {
        const NO_OBJECT: &str = "associative list with keys may not have non-map elements";
        let fields = match item {
            Value::Null => {
                return Err("associative list with keys may not have a null element".into());
            }
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

    /// The element of an item of a set.
    ///
    /// # Errors
    /// A sentence about an item that is not a scalar.
    pub(super) fn of_set_item(item: &Value) -> Result<Self, String> {
        match item {
            Value::Array(_) => Err("not supporting lists as elements".into()),
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".into())
            }
            scalar => Ok(Self::Value(OrderedValue::from(scalar))),
        }
    }
}

/// Formats the element as in error messages: `.spec.tags[name="a"]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<_> =
                    keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
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
    fn elements_survive_a_round_trip() {
        for step in [
            "f:a:b",
            r#"k:{"name":"a\"b"}"#,
            r#"k:{"a":1,"b":true}"#,
            r#"v:"x""#,
            "v:1.5",
            "v:null",
            "i:-3",
        ] {
            assert_eq!(PathElement::parse(step).unwrap().to_text(), step);
        }
        for step in ["", "f", "x:1", "k:[]", "k:{", "v:", "i:a"] {
            assert_eq!(PathElement::parse(step), None, "{step}");
        }
    }

    #[test]
    fn elements_are_ordered_by_kind_and_content() {
        let written = [
            "f:a",
            "f:b",
            r#"k:{"name":"a"}"#,
            r#"k:{"name":"b"}"#,
            "v:1",
            "v:2",
            r#"v:"1""#,
            "i:9",
            "i:10",
        ];
        let mut steps: Vec<_> =
            written.iter().rev().map(|step| PathElement::parse(step).unwrap()).collect();
        steps.sort();
        assert_eq!(steps.iter().map(PathElement::to_text).collect::<Vec<_>>(), written);
    }

    #[test]
    fn elements_are_formatted_as_paths() {
        let path = ["f:spec", r#"k:{"name":"a"}"#, r#"v:"x""#, "i:1"]
            .map(|step| PathElement::parse(step).unwrap().to_string());
        assert_eq!(path.concat(), r#".spec[name="a"][="x"][1]"#);
    }
}
