//! The fields that a value has, and whether the value fits its shape.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write};

use serde_json::Value;

use super::element::Element;
use super::form::{self, Form};
use super::set::Set;
use crate::machinery::schema::{ListType, Scalar, Shape};
use crate::meta::{Limited, excerpt};

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
pub(super) fn faults(shape: &Shape, value: &Value) -> Limited<String> {
    let mut check = Check::default();
    check.value(shape, value);
    check.faults
}

/// Where the check is, and what it found.
#[derive(Default)]
struct Check {
    path: String,
    faults: Limited<String>,
}

impl Check {
    fn tell(&mut self, what: impl Display) {
        let colon = if self.path.is_empty() { "" } else { ": " };
        self.faults.push_with(|| format!("{}{colon}{}", excerpt::of(&self.path), excerpt::of(what)));
    }

    /// Goes one step down, does what is to be done there, and comes back.
    fn at(&mut self, step: impl Display, there: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        write!(self.path, "{step}").expect("writing to memory does not fail");
        there(self);
        self.path.truncate(length);
    }

    fn value(&mut self, shape: &Shape, value: &Value) {
        if self.faults.is_cut() {
            return;
        }
        match (shape, value) {
            (Shape::Untyped, _) | (_, Value::Null) => {}
            (Shape::Scalar(scalar), value) => {
                if let Some(fault) = scalar_fault(*scalar, value) {
                    self.tell(fault);
                }
            }
            (Shape::List(list_type, items), Value::Array(list)) => self.items(list_type, items, list),
            (Shape::List(..), other) => self.tell(format_args!("expected list, got {}", Shown(other))),
            (Shape::Struct(..) | Shape::Map(..), Value::Object(fields)) => {
                for (name, value) in fields {
                    self.at(format_args!(".{name}"), |check| match shape.value(name) {
                        Some(shape) => check.value(shape, value),
                        None => check.tell("field not declared in schema"),
                    });
                }
            }
            (Shape::Struct(..) | Shape::Map(..), other) => {
                self.tell(format_args!("expected map, got {}", Shown(other)))
            }
        }
    }

    fn items(&mut self, list_type: &ListType, shape: &Shape, list: &[Value]) {
        let mut seen = BTreeSet::new();
        for (at, item) in list.iter().enumerate() {
            let element = match list_type {
                ListType::Atomic => Ok(Element::Index(i64::try_from(at).unwrap_or(i64::MAX))),
                list_type => form::element(item, list_type),
            };
            let element = match element {
                Ok(element) => element,
                // What cannot be told from others cannot be named in the path of a fault inside of it.
                Err(why) => return self.tell(format_args!("element {at}: {why}")),
            };
            if seen.contains(&element) {
                self.tell(format_args!("duplicate entries for key {element}"));
            }
            self.at(&element, |check| check.value(shape, item));
            seen.insert(element);
        }
    }
}

fn scalar_fault(scalar: Scalar, value: &Value) -> Option<String> {
    match (scalar, value) {
        (Scalar::String, Value::String(_))
        | (Scalar::Number | Scalar::Integer, Value::Number(_))
        | (Scalar::Boolean, Value::Bool(_)) => None,
        // Where a text is wanted the reference tells more of what holds the value.
        (Scalar::String, other) => {
            let shown = crate::machinery::go_text::of(other);
            Some(format!("expected string, got &value.valueUnstructured{{Value:{shown}}}"))
        }
        (Scalar::Number | Scalar::Integer, other) => {
            Some(format!("expected numeric (int or float), got {}", type_of(other)))
        }
        (Scalar::Boolean, other) => Some(format!("expected boolean, got {}", Shown(other))),
    }
}

/// A value as the reference shows it in these texts.
struct Shown<'a>(&'a Value);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "&{{{}}}", crate::machinery::go_text::of(self.0))
    }
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
