//! Strategic merge patches: merge patches that know which lists are maps or sets, with directives for the rest.
//!
//! The directives: `$patch` (`delete`, `replace`) in an object or in an item of a list, `$retainKeys`,
//! `$setElementOrder/<field>` and `$deleteFromPrimitiveList/<field>`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::list::{self, Change};
use crate::machinery::go_text;
use crate::machinery::schema::{PatchStrategy, Shape};
use crate::machinery::single::Single;
use crate::machinery::steps::{Exhausted, Steps, weight, weight_of};

pub(super) const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";
/// The steps that a byte of a list takes: each item becomes the key of a map.
const LIST_STEPS: usize = 16;

/// Why a patch cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The patch is none; a sentence about it.
    Format(String),
    /// The patch asks for what is not supported. Clients are told no more than that.
    Content,
    /// The patch takes too many steps.
    Exhausted(Exhausted),
}

impl From<Exhausted> for Fault {
    fn from(exhausted: Exhausted) -> Self {
        Self::Exhausted(exhausted)
    }
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

/// Merges a patch into an object.
///
/// Costs as much as the patch has bytes, but for its lists and `$retainKeys`: these visit what the object has. Items of a
/// patch may name the same item of the object again and again, so such visits are taken from `steps`.
pub(super) fn merge(
    shape: &Shape,
    object: &mut Value,
    patch: &Map<String, Value>,
    steps: &mut Steps,
) -> Result<(), Fault> {
    if let Some(directive) = patch.get(PATCH) {
        *object = directed(directive, patch)?;
        return Ok(());
    }
    let Value::Object(fields) = object else {
        *object = fresh(&Value::Object(patch.clone()));
        return Ok(());
    };
    retain_keys(fields, patch, steps)?;
    for (name, value) in patch {
        let named = |prefix: &str| named(name, prefix);
        if let Some(field) = named(SET_ORDER)? {
            let order = value.as_array().ok_or_else(|| format_fault("setElementOrder list"))?;
            merge_list(shape, fields, (field, patch.get(field)), Change::Order(order), steps)?;
        } else if let Some(field) = named(DELETE_FROM)? {
            let gone = value.as_array().ok_or_else(|| format_fault("primitive list"))?;
            if let Some(Value::Array(items)) = fields.get_mut(field) {
                steps.take(LIST_STEPS * weight_of(items))?;
                let gone: BTreeSet<_> = gone.iter().map(Single::from).collect();
                items.retain(|item| !gone.contains(&Single::from(item)));
            }
        } else if name != RETAIN_KEYS && !patch.contains_key(&format!("{SET_ORDER}/{name}")) {
            merge_field(shape, fields, name, value, steps)?;
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

fn merge_field(
    shape: &Shape,
    fields: &mut Map<String, Value>,
    name: &str,
    patch: &Value,
    steps: &mut Steps,
) -> Result<(), Fault> {
    let strategy = shape.field(name).map(|field| &field.patch);
    match (fields.get_mut(name), patch) {
        // Takes the last field into the gap: without moving all fields behind it. Their order means nothing.
        (_, Value::Null) => _ = fields.swap_remove(name),
        (Some(present @ Value::Object(_)), Value::Object(patch)) if strategy != Some(&PatchStrategy::Replace) => {
            merge(shape.value(name).unwrap_or(&Shape::Untyped), present, patch, steps)?;
        }
        (Some(Value::Array(_)), Value::Array(_)) => {
            merge_list(shape, fields, (name, Some(patch)), Change::Merge, steps)?;
        }
        (_, patch) => _ = fields.insert(name.to_owned(), fresh(patch)),
    }
    Ok(())
}

/// Merges a list field, given by its name and what the patch has for it, as its strategy says.
fn merge_list(
    shape: &Shape,
    fields: &mut Map<String, Value>,
    (name, patch): (&str, Option<&Value>),
    change: Change<'_>,
    steps: &mut Steps,
) -> Result<(), Fault> {
    let expect = |value: Option<&Value>| match value {
        None | Some(Value::Null | Value::Array(_)) => Ok(()),
        Some(_) => Err(Fault::format(format!("expected the field {name} to be a list"))),
    };
    expect(fields.get(name))?;
    expect(patch)?;
    steps.take(LIST_STEPS * fields.get(name).map_or(0, weight))?;
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
    let merged = list.changed(present, patch.map(Vec::as_slice), change, steps)?;
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
fn retain_keys(fields: &mut Map<String, Value>, patch: &Map<String, Value>, steps: &mut Steps) -> Result<(), Fault> {
    let Some(kept) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    steps.take(fields.len())?;
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
