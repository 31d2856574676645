//! Strategic merge patches: merge patches that know which lists are maps or sets, with directives for the rest.
//!
//! The directives: `$patch` (`delete`, `replace`) in an object or in an item of a list, `$retainKeys`,
//! `$setElementOrder/<field>` and `$deleteFromPrimitiveList/<field>`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::list::{self, Change};
use crate::rest::go_text;
use crate::rest::schema::{PatchStrategy, Shape};
use crate::rest::single::Single;

pub(super) const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

/// Why a patch cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The patch is none; a sentence about it.
    Format(String),
    /// The patch asks for what is not supported. Clients are told no more than that.
    Content,
}

impl Fault {
    pub(super) fn format(why: impl Into<String>) -> Self {
        Self::Format(why.into())
    }

    /// The fault of an item without the key that tells it apart.
    pub(super) fn no_merge_key(item: &Map<String, Value>, key: &str) -> Self {
        let item = go_text::of_object(item);
        Self::Format(format!("map: {item} does not contain declared merge key: {key}"))
    }
}

/// Does a patch to an object.
pub(super) fn merge(shape: &Shape, object: &mut Value, patch: &Map<String, Value>) -> Result<(), Fault> {
    if let Some(directive) = patch.get(PATCH) {
        *object = directed(directive, patch)?;
        return Ok(());
    }
    let Value::Object(fields) = object else {
        *object = fresh(&Value::Object(patch.clone()));
        return Ok(());
    };
    retain_keys(fields, patch)?;
    for (name, value) in patch {
        let named = |prefix: &str| named(name, prefix);
        if let Some(field) = named(SET_ORDER)? {
            let order = value.as_array().ok_or_else(|| format_fault("setElementOrder list"))?;
            merge_list(shape, fields, field, patch.get(field), Change::Order(order))?;
        } else if let Some(field) = named(DELETE_FROM)? {
            let gone = value.as_array().ok_or_else(|| format_fault("primitive list"))?;
            if let Some(Value::Array(items)) = fields.get_mut(field) {
                let gone: BTreeSet<_> = gone.iter().map(Single::from).collect();
                items.retain(|item| !gone.contains(&Single::from(item)));
            }
        } else if name != RETAIN_KEYS && !patch.contains_key(&format!("{SET_ORDER}/{name}")) {
            merge_field(shape, fields, name, value)?;
        }
    }
    Ok(())
}

/// The field that a key such as `$setElementOrder/tags` is about; none for other keys.
fn named<'a>(key: &'a str, prefix: &str) -> Result<Option<&'a str>, Fault> {
    let Some(rest) = key.strip_prefix(prefix) else { return Ok(None) };
    let what = if prefix == SET_ORDER { "setElementOrder list" } else { "primitive list" };
    rest.strip_prefix('/').map(Some).ok_or_else(|| format_fault(what))
}

fn format_fault(what: &str) -> Fault {
    Fault::format(format!("invalid patch format of {what}"))
}

fn merge_field(shape: &Shape, fields: &mut Map<String, Value>, name: &str, patch: &Value) -> Result<(), Fault> {
    let strategy = shape.field(name).map(|field| &field.patch);
    match (fields.get_mut(name), patch) {
        (_, Value::Null) => _ = fields.shift_remove(name),
        (Some(present @ Value::Object(_)), Value::Object(patch)) if strategy != Some(&PatchStrategy::Replace) => {
            merge(shape.value(name).unwrap_or(&Shape::Untyped), present, patch)?;
        }
        (Some(Value::Array(_)), Value::Array(_)) => {
            merge_list(shape, fields, name, Some(patch), Change::Merge)?;
        }
        (_, patch) => _ = fields.insert(name.to_owned(), fresh(patch)),
    }
    Ok(())
}

/// Merges a list field as its strategy says.
fn merge_list(
    shape: &Shape,
    fields: &mut Map<String, Value>,
    name: &str,
    patch: Option<&Value>,
    change: Change<'_>,
) -> Result<(), Fault> {
    let expect = |value: Option<&Value>| match value {
        None | Some(Value::Null | Value::Array(_)) => Ok(()),
        Some(_) => Err(Fault::format(format!("expected the field {name} to be a list"))),
    };
    expect(fields.get(name))?;
    expect(patch)?;
    let present = fields.get_mut(name).and_then(Value::as_array_mut).map(std::mem::take);
    let patch = patch.and_then(Value::as_array);
    if present.is_none() && patch.is_none() {
        return Ok(());
    }
    let key = match shape.field(name).map(|field| &field.patch) {
        Some(PatchStrategy::Merge(key)) => list::Strategy::Merge(key.as_deref()),
        _ => list::Strategy::Replace,
    };
    let items = match shape.value(name) {
        Some(Shape::List(_, items)) => items,
        _ => &Shape::Untyped,
    };
    let list = list::List { shape: items, strategy: key };
    let merged = list.changed(present, patch.map(Vec::as_slice), change)?;
    fields.insert(name.to_owned(), Value::Array(merged));
    Ok(())
}

/// What an object becomes by a directive that is about all of it.
fn directed(directive: &Value, patch: &Map<String, Value>) -> Result<Value, Fault> {
    match directive.as_str() {
        Some("replace") => Ok(fresh(&Value::Object(patch.clone()))),
        Some("delete") => Ok(Value::Object(Map::new())),
        _ => Err(unknown_directive(directive, patch)),
    }
}

pub(super) fn unknown_directive(directive: &Value, patch: &Map<String, Value>) -> Fault {
    Fault::format(format!("unknown patch type: {} in map: {}", go_text::of(directive), go_text::of_object(patch)))
}

/// Takes away the fields that are not among those to be kept. A patch may only set some of these.
fn retain_keys(fields: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), Fault> {
    let Some(kept) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let refuse = || format_fault("retainKeys");
    let kept: BTreeSet<_> = kept.as_array().ok_or_else(refuse)?.iter().filter_map(Value::as_str).collect();
    let is_kept = |name: &str| kept.contains(name);
    let is_set = |(name, value): &(&String, &Value)| {
        let is_directive = *name == RETAIN_KEYS || name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER);
        !is_directive && !value.is_null()
    };
    if !patch.iter().filter(is_set).all(|(name, _)| is_kept(name)) {
        return Err(refuse());
    }
    fields.retain(|name, _| is_kept(name));
    Ok(())
}

/// What a patch makes of nothing: itself, without directives and what it removes.
pub(super) fn fresh(patch: &Value) -> Value {
    let is_directive =
        |name: &str| [PATCH, RETAIN_KEYS, DELETE_FROM, SET_ORDER].iter().any(|key| name.starts_with(key));
    match patch {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, value)| !is_directive(name) && !value.is_null());
            match patch.get(PATCH).and_then(Value::as_str) {
                Some("delete") => Value::Object(Map::new()),
                _ => Value::Object(fields.map(|(name, value)| (name.clone(), fresh(value))).collect()),
            }
        }
        Value::Array(items) => {
            let items = items.iter().filter(|item| item.get(PATCH).is_none());
            Value::Array(items.map(fresh).collect())
        }
        single => single.clone(),
    }
}
