//! How the parts of a value are reached: what of its shape matters to ownership, and the items of its lists.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use super::path_element::PathElement;
use crate::machinery::schema::{ListType, MapType, Shape};

/// What ownership sees of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Granularity<'a> {
    /// A whole without parts.
    Atomic,
    /// An object; the parts have the shapes that this one says.
    Object(&'a Shape),
    /// A list whose items have owners of their own.
    List(&'a ListType, &'a Shape),
}

impl<'a> Granularity<'a> {
    /// The form of a value of a shape. Of values of any shape each has the form of what it is.
    pub(super) fn of(shape: &'a Shape, value: &Value) -> Self {
        match shape {
            Shape::Scalar(_) | Shape::Struct(MapType::Atomic, _) | Shape::Map(MapType::Atomic, _) => Self::Atomic,
            Shape::List(ListType::Atomic, _) => Self::Atomic,
            Shape::Struct(..) | Shape::Map(..) => Self::Object(shape),
            Shape::List(list_type, items) => Self::List(list_type, items),
            Shape::Untyped if value.is_object() => Self::Object(shape),
            Shape::Untyped => Self::Atomic,
        }
    }
}

/// The step to an item of a list.
///
/// # Errors
/// A sentence about an item that cannot be told from others.
pub(super) fn element(item: &Value, list_type: &ListType) -> Result<PathElement, String> {
    match list_type {
        ListType::Map(keys) => PathElement::of_item(item, keys),
        ListType::Set => PathElement::of_set_item(item),
        ListType::Atomic => Err("the items of an atomic list cannot be told apart".into()),
    }
}

/// The items of a list by the steps to them, each with those of the same step.
pub(super) type Items<'a> = BTreeMap<PathElement, Vec<&'a Value>>;

/// The steps to the items of a list, each once and in the order of the list, and the items by them.
///
/// # Errors
/// A sentence about an item that cannot be told from others.
pub(super) fn items<'a>(list: &'a [Value], list_type: &ListType) -> Result<(Vec<PathElement>, Items<'a>), String> {
    let (mut order, mut items) = (Vec::with_capacity(list.len()), Items::new());
    for (at, item) in list.iter().enumerate() {
        let element = element(item, list_type).map_err(|reason| format!("element {at}: {reason}"))?;
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

/// The fields of an object; none of anything else.
pub(super) fn fields(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The items of a list; none of anything else.
pub(super) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
