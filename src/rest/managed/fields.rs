//! The fields that a value has, and whether the value fits its shape.

use serde_json::Value;

use super::element::Element;
use super::form::{self, Form};
use super::set::Set;
use crate::rest::schema::{ListType, Scalar, Shape};

/// The fields that whoever applies a value wants to own.
///
/// # Errors
/// A sentence about an item of a list that cannot be told from others.
pub(super) fn of(shape: &Shape, value: &Value) -> Result<Set, String> {
    let mut set = Set::default();
    match Form::of(shape, value) {
        Form::Leaf => set.is_member = true,
        Form::Object(shape) => {
            for (name, value) in form::fields(Some(value)).into_iter().flatten() {
                let mut part = of(shape.value(name).unwrap_or(&Shape::Untyped), value)?;
                let is_empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
                part.is_member |= is_empty || shape.field(name).is_none();
                set.insert(Element::Field(name.clone()), part);
            }
        }
        Form::List(list_type, shape) => {
            for item in form::list(Some(value)) {
                let mut part = of(shape, item)?;
                part.is_member = true;
                set.insert(form::element(item, list_type)?, part);
            }
        }
    }
    Ok(set)
}

/// Everything in a value that does not fit its shape: `<path>: <what is wrong>`.
pub(super) fn faults(shape: &Shape, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(shape, value, "", &mut faults);
    faults
}

fn check(shape: &Shape, value: &Value, path: &str, faults: &mut Vec<String>) {
    let mut tell = |what: String| faults.push(if path.is_empty() { what } else { format!("{path}: {what}") });
    match (shape, value) {
        (Shape::Untyped, _) | (_, Value::Null) => {}
        (Shape::Scalar(scalar), value) => {
            if let Some(fault) = scalar_fault(*scalar, value) {
                tell(fault);
            }
        }
        (Shape::List(list_type, items), Value::Array(list)) => check_items(list_type, items, list, path, faults),
        (Shape::List(..), other) => tell(format!("expected list, got {}", shown(other))),
        (Shape::Struct(..) | Shape::Map(..), Value::Object(fields)) => {
            for (name, value) in fields {
                match shape.value(name) {
                    Some(shape) => check(shape, value, &format!("{path}.{name}"), faults),
                    None => faults.push(format!("{path}.{name}: field not declared in schema")),
                }
            }
        }
        (Shape::Struct(..) | Shape::Map(..), other) => tell(format!("expected map, got {}", shown(other))),
    }
}

fn check_items(list_type: &ListType, shape: &Shape, list: &[Value], path: &str, faults: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    for (at, item) in list.iter().enumerate() {
        let element = match list_type {
            ListType::Atomic => Ok(Element::Index(i64::try_from(at).unwrap_or(i64::MAX))),
            list_type => form::element(item, list_type),
        };
        let element = match element {
            Ok(element) => element,
            // What cannot be told from others cannot be named in the path of a fault inside of it.
            Err(why) => return faults.push(format!("{path}: element {at}: {why}")),
        };
        let item_path = format!("{path}{element}");
        if !seen.insert(element.clone()) {
            faults.push(format!("{path}: duplicate entries for key {element}"));
        }
        check(shape, item, &item_path, faults);
    }
}

fn scalar_fault(scalar: Scalar, value: &Value) -> Option<String> {
    match (scalar, value) {
        (Scalar::String, Value::String(_)) | (Scalar::Number, Value::Number(_)) | (Scalar::Boolean, Value::Bool(_)) => {
            None
        }
        (Scalar::String, other) => Some(format!("expected string, got {}", shown(other))),
        (Scalar::Number, other) => Some(format!("expected numeric (int or float), got {}", type_of(other))),
        (Scalar::Boolean, other) => Some(format!("expected boolean, got {}", shown(other))),
    }
}

/// A value as the reference shows it in these texts.
fn shown(value: &Value) -> String {
    format!("&{{{}}}", crate::rest::go_text::of(value))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}
