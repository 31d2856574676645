//! Granularity of ownership, and access to the parts of a value that have separate owners.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use super::path_element::PathElement;
use crate::machinery::schema::{ListType, MapType, Shape};

/// The granularity at which a value has owners.
#[derive(Clone, Copy, Debug)]
pub(super) enum Granularity<'a> {
    /// One owner for the value.
    Atomic,
    /// Separate owners for the fields of an object with this shape.
    Object(&'a Shape),
    /// Separate owners for the items of a list with this type and item shape.
    List(&'a ListType, &'a Shape),
}

impl<'a> Granularity<'a> {
    /// The granularity of a value. The actual type decides for untyped values.
    pub(super) fn of(shape: &'a Shape, value: &Value) -> Self {
        match shape {
            Shape::Scalar(_)
            | Shape::Struct(MapType::Atomic, _)
            | Shape::Map(MapType::Atomic, _) => Self::Atomic,
            Shape::List(ListType::Atomic, _) => Self::Atomic,
            Shape::Struct(..) | Shape::Map(..) => Self::Object(shape),
            Shape::List(list_type, items) => Self::List(list_type, items),
            Shape::Untyped if value.is_object() => Self::Object(shape),
            Shape::Untyped => Self::Atomic,
        }
    }
}

/// The path element of a list item.
///
/// # Errors
/// A sentence about an item without a valid key.
pub(super) fn element(item: &Value, list_type: &ListType) -> Result<PathElement, String> {
    match list_type {
        ListType::Map(keys) => PathElement::of_item(item, keys),
        ListType::Set => PathElement::of_set_item(item),
        ListType::Atomic => Err("items of an atomic list have no keys".into()),
    }
}

/// List items by their path elements. Several items may have the same one.
pub(super) type Items<'a> = BTreeMap<PathElement, Vec<&'a Value>>;

/// The path elements of a list, unique and in the order of the list, and the items by path element.
///
/// # Errors
/// A sentence about an item without a valid key.
pub(super) fn items<'a>(
    list: &'a [Value],
    list_type: &ListType,
) -> Result<(Vec<PathElement>, Items<'a>), String> {
    let (mut order, mut items) = (Vec::with_capacity(list.len()), Items::new());
    for (at, item) in list.iter().enumerate() {
        let element =
            element(item, list_type).map_err(|reason| format!("element {at}: {reason}"))?;
        match items.entry(element) {
            Entry::Vacant(entry) => {
                order.push(entry.key().clone());
                entry.insert(vec![item]);
            }
            Entry::Occupied(entry) => entry.into_mut().push(item),
        }
    }
    Ok((order, items))
}

/// The fields of an object; none for other values.
pub(super) fn fields(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The items of a list; empty for other values.
pub(super) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
