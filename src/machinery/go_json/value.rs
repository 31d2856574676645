//! JSON as [`Value`]s, with the rules of Go for repeated keys.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::{GoJsonError, JsonText};
use crate::machinery::schema::{Scalar, Shape, StructField};

/// The type that a value is decoded into, which decides about keys that an object has twice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RepeatedKeys<'a> {
    /// `map[string]interface{}` at every level: the last value is used.
    Last,
    /// A type of this shape. The value of a struct's field is decoded into the previous one, so that
    /// objects and the items of lists are merged. The value of a map's key replaces the previous one.
    Shape(&'a Shape),
    /// A struct type without a known shape. As for structs.
    Merged,
}

/// Reads a value.
///
/// # Errors
/// The value is nested too deep to be built.
pub(crate) fn to_value(
    text: JsonText<'_>,
    repeated_keys: RepeatedKeys<'_>,
) -> Result<Value, GoJsonError> {
    repeated_keys.deserialize(&mut text.reader())
}

/// A place that a value is decoded into, when there is a previous value.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// The value is replaced.
    Replaced,
    /// The value of a map, which is replaced.
    Element(&'a Shape),
    /// A value of a shape. `null` unsets the value of an optional field.
    Typed(&'a Shape, Nullability),
    /// A value of a struct without a known shape.
    Merged,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nullability {
    /// `null` leaves the value unchanged, unless it is a map or a list.
    Plain,
    /// A pointer, which `null` unsets.
    Optional,
}

impl<'a> RepeatedKeys<'a> {
    /// The place of an object's key, and the type of its value.
    fn entry(self, key: &str) -> (Place<'a>, Self) {
        match self {
            Self::Last => (Place::Replaced, Self::Last),
            Self::Merged => (Place::Merged, Self::Merged),
            Self::Shape(Shape::Struct(_, fields)) => match fields.by_name.get(key) {
                Some(field) => (Place::of(field), Self::of(&field.shape)),
                None => (Place::Replaced, Self::Last),
            },
            Self::Shape(Shape::Map(_, values)) => (Place::Element(values), Self::of(values)),
            Self::Shape(_) => (Place::Replaced, Self::Last),
        }
    }

    fn items(self) -> Self {
        match self {
            Self::Shape(Shape::List(_, items)) => Self::of(items),
            Self::Shape(_) => Self::Last,
            other => other,
        }
    }

    /// Raw objects are decoded again later, into structs.
    fn of(shape: &'a Shape) -> Self {
        if is_raw(shape) { Self::Merged } else { Self::Shape(shape) }
    }
}

/// Returns true for types that keep the text of their value.
fn is_raw(shape: &Shape) -> bool {
    shape.is_raw() || *shape == Shape::Untyped
}

impl<'a> Place<'a> {
    fn of(field: &'a StructField) -> Self {
        let null = if field.is_optional { Nullability::Optional } else { Nullability::Plain };
        if is_raw(&field.shape) { Self::Replaced } else { Self::Typed(&field.shape, null) }
    }

    /// The place of an item in a list, or of a field in an object.
    fn field(self, key: &str) -> Self {
        match self {
            Self::Typed(Shape::Struct(_, fields), _) => {
                fields.by_name.get(key).map_or(Self::Replaced, Self::of)
            }
            Self::Merged => Self::Merged,
            Self::Typed(Shape::Map(_, values), _) => Self::Element(values),
            _ => Self::Replaced,
        }
    }

    fn item(self) -> Self {
        match self {
            Self::Typed(Shape::List(_, items), _) => Self::Typed(items, Nullability::Plain),
            other => other,
        }
    }

    /// Decodes a value into the previous one. A previous value of a wrong type stays, because its
    /// error is the first one.
    fn decode(self, old: &mut Value, new: Value) {
        match self {
            Self::Replaced => *old = new,
            Self::Typed(shape, _) | Self::Element(shape) if !old.is_null() && !fits(old, shape) => {
            }
            Self::Element(_) => *old = new,
            Self::Typed(Shape::Struct(..) | Shape::Scalar(_), Nullability::Plain)
                if new.is_null() => {}
            Self::Merged if new.is_null() && !(old.is_object() || old.is_array()) => {}
            _ => self.merge(old, new),
        }
    }

    fn merge(self, old: &mut Value, new: Value) {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                for (key, value) in new {
                    let place = self.field(&key);
                    insert(old, key, value, place);
                }
            }
            (Value::Array(old), Value::Array(new)) => {
                old.truncate(new.len());
                let mut new = new.into_iter();
                for (old, new) in old.iter_mut().zip(new.by_ref()) {
                    self.item().decode(old, new);
                }
                old.extend(new);
            }
            (old, new) => *old = new,
        }
    }
}

fn fits(value: &Value, shape: &Shape) -> bool {
    match shape {
        Shape::Struct(..) | Shape::Map(..) => value.is_object(),
        Shape::List(..) => value.is_array(),
        Shape::Scalar(Scalar::String) => value.is_string(),
        Shape::Scalar(Scalar::Boolean) => value.is_boolean(),
        Shape::Scalar(Scalar::Number) => value.is_number(),
        Shape::Scalar(Scalar::Integer) => value.is_i64(),
        Shape::Untyped => true,
    }
}

fn insert(fields: &mut Map<String, Value>, key: String, value: Value, place: Place<'_>) {
    match fields.entry(key) {
        Entry::Vacant(entry) => drop(entry.insert(value)),
        Entry::Occupied(mut entry) => place.decode(entry.get_mut(), value),
    }
}

impl<'de> DeserializeSeed<'de> for RepeatedKeys<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RepeatedKeys<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.items())? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let (place, value) = self.entry(&key);
            insert(&mut fields, key, entries.next_value_seed(value)?, place);
        }
        Ok(fields.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{Image, ImageStream};
    use crate::machinery::schema::Schema;

    fn read(text: &str, keys: RepeatedKeys<'_>) -> Value {
        to_value(JsonText::check(text.as_bytes()).unwrap(), keys).unwrap()
    }

    fn stream(text: &str) -> Value {
        read(text, RepeatedKeys::Shape(&Schema::of::<ImageStream>().root))
    }

    #[test]
    fn maps_and_structs_given_twice_are_merged() {
        let text = r#"{"metadata":{"labels":{"a":"1","b":"2"},"name":"x"},
            "metadata":{"labels":{"b":"3","c":"4"},"uid":"u"}}"#;
        let merged = json!({"metadata": {"labels": {"a": "1", "b": "3", "c": "4"}, "name": "x", "uid": "u"}});
        assert_eq!(stream(text), merged);
        let last = json!({"metadata": {"labels": {"b": "3", "c": "4"}, "uid": "u"}});
        assert_eq!(read(text, RepeatedKeys::Last), last);
    }

    #[test]
    fn items_of_a_list_given_twice_are_merged() {
        let text = r#"{"spec":{"tags":[{"name":"a","from":{"kind":"k"}},{"name":"b"}],
            "tags":[{"from":{"name":"n"},"name":null}]}}"#;
        let tags = json!([{"name": "a", "from": {"kind": "k", "name": "n"}}]);
        assert_eq!(stream(text)["spec"]["tags"], tags);
    }

    #[test]
    fn null_unsets_optional_values_only() {
        let text = r#"{"metadata":{"name":"x"},"metadata":null,"spec":{"tags":[{"from":{"kind":"k"},
            "from":null,"generation":5,"generation":null,"reference":true,"reference":null}]}}"#;
        let tag = json!({"from": null, "generation": null, "reference": true});
        assert_eq!(stream(text), json!({"metadata": {"name": "x"}, "spec": {"tags": [tag]}}));
    }

    #[test]
    fn errors_of_an_earlier_value_stay() {
        assert_eq!(stream(r#"{"spec":5,"spec":{}}"#), json!({"spec": 5}));
        assert_eq!(stream(r#"{"x":5,"x":{}}"#), json!({"x": {}}));
        let labels = r#"{"metadata":{"labels":{"a":5,"a":"x","b":"x","b":null}}}"#;
        assert_eq!(stream(labels), json!({"metadata": {"labels": {"a": 5, "b": null}}}));
    }

    #[test]
    fn raw_objects_are_replaced_and_their_fields_merged() {
        let shape = Schema::of::<Image>().root;
        let read = |text: &str| read(text, RepeatedKeys::Shape(&shape));
        let text = r#"{"dockerImageMetadata":{"a":1},"dockerImageMetadata":{"Config":{"User":"u"},"Config":{"Image":"i"}}}"#;
        let merged = json!({"dockerImageMetadata": {"Config": {"User": "u", "Image": "i"}}});
        assert_eq!(read(text), merged);
    }

    #[test]
    fn numbers_are_integers_if_they_can() {
        let read = |text: &str| read(text, RepeatedKeys::Last);
        assert_eq!(read("[-0,9223372036854775807,1.0]"), json!([0, i64::MAX, 1.0]));
        assert_eq!(read("[9223372036854775808]"), json!([9223372036854775808_u64 as f64]));
        assert_eq!(read("[1e999,-1e999]"), json!([f64::MAX, f64::MIN]));
    }

    #[test]
    fn values_have_a_maximum_depth() {
        let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let text = JsonText::check(nested.as_bytes()).unwrap();
        let why = to_value(text, RepeatedKeys::Last).unwrap_err().to_string();
        assert_eq!(why, "the value is nested deeper than 128 levels");
    }
}
