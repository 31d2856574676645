//! Validation of an applied configuration against its schema (`TypedValue.Validate` in
//! `sigs.k8s.io/structured-merge-diff/typed`).

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write};

use serde_json::Value;

use super::granularity;
use super::path_element::PathElement;
use crate::machinery::schema::{ListType, Scalar, Shape};
use crate::meta::{Limited, excerpt};

/// Checks a value against its shape. Returns errors in the form `<path>: <error>`.
pub(super) fn validate(shape: &Shape, value: &Value) -> Limited<String> {
    let mut validator = SchemaValidator::default();
    validator.value(shape, value);
    validator.errors
}

/// Current path and errors of a validation.
#[derive(Default)]
struct SchemaValidator {
    path: String,
    errors: Limited<String>,
}

impl SchemaValidator {
    fn report(&mut self, what: impl Display) {
        let colon = if self.path.is_empty() { "" } else { ": " };
        self.errors
            .push_with(|| format!("{}{colon}{}", excerpt::of(&self.path), excerpt::of(what)));
    }

    /// Calls `visit` with `step` appended to the path.
    fn at(&mut self, step: impl Display, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        write!(self.path, "{step}").expect("writing to memory does not fail");
        visit(self);
        self.path.truncate(length);
    }

    fn value(&mut self, shape: &Shape, value: &Value) {
        if self.errors.is_cut() {
            return;
        }
        match (shape, value) {
            (Shape::Untyped, _) | (_, Value::Null) => {}
            (Shape::Scalar(scalar), value) => {
                if let Some(error) = scalar_error(*scalar, value) {
                    self.report(error);
                }
            }
            (Shape::List(list_type, items), Value::Array(list)) => {
                self.items(list_type, items, list)
            }
            (Shape::List(..), other) => {
                self.report(format_args!("expected list, got {}", ValueUnstructured(other)))
            }
            (Shape::Struct(..) | Shape::Map(..), Value::Object(fields)) => {
                for (name, value) in fields {
                    self.at(format_args!(".{name}"), |validator| match shape.value(name) {
                        Some(shape) => validator.value(shape, value),
                        None => validator.report("field not declared in schema"),
                    });
                }
            }
            (Shape::Struct(..) | Shape::Map(..), other) => {
                self.report(format_args!("expected map, got {}", ValueUnstructured(other)))
            }
        }
    }

    fn items(&mut self, list_type: &ListType, shape: &Shape, list: &[Value]) {
        let mut seen = BTreeSet::new();
        for (at, item) in list.iter().enumerate() {
            let element = match list_type {
                ListType::Atomic => Ok(PathElement::Index(i64::try_from(at).unwrap_or(i64::MAX))),
                list_type => granularity::element(item, list_type),
            };
            let element = match element {
                Ok(element) => element,
                // Errors inside this item cannot have a path, since it has no valid key.
                Err(reason) => return self.report(format_args!("element {at}: {reason}")),
            };
            if seen.contains(&element) {
                self.report(format_args!("duplicate entries for key {element}"));
            }
            self.at(&element, |validator| validator.value(shape, item));
            seen.insert(element);
        }
    }
}

fn scalar_error(scalar: Scalar, value: &Value) -> Option<String> {
    match (scalar, value) {
        (Scalar::String, Value::String(_))
        | (Scalar::Number | Scalar::Integer, Value::Number(_))
        | (Scalar::Boolean, Value::Bool(_)) => None,
        // The message for strings includes the wrapper type of the value.
        (Scalar::String, other) => {
            let text = crate::machinery::go_fmt::value(other);
            Some(format!("expected string, got &value.valueUnstructured{{Value:{text}}}"))
        }
        (Scalar::Number | Scalar::Integer, other) => {
            Some(format!("expected numeric (int or float), got {}", type_of(other)))
        }
        (Scalar::Boolean, other) => {
            Some(format!("expected boolean, got {}", ValueUnstructured(other)))
        }
    }
}

/// Formats a value as the wrapper type of the value package does with `%v`.
struct ValueUnstructured<'a>(&'a Value);

impl Display for ValueUnstructured<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "&{{{}}}", crate::machinery::go_fmt::value(self.0))
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
