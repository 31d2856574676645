//! Strategic merge patches: merge patches with merge strategies for lists, and directives
//! (`k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`).
//!
//! The directives are `$patch` (`delete`, `replace`) in an object or a list item, `$retainKeys`,
//! `$setElementOrder/<field>` and `$deleteFromPrimitiveList/<field>`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::directives::{
    DELETE_FROM_PRIMITIVE_LIST, PATCH, RETAIN_KEYS, SET_ELEMENT_ORDER, StrategicMergeError,
    unknown_directive, without_directives,
};
use super::list::{ListChange, ListStrategy, PatchedList};
use crate::machinery::ordered_value::OrderedValue;
use crate::machinery::schema::{PatchStrategy, Shape};
use crate::machinery::step_budget::{StepBudget, json_size, list_json_size};

/// Steps for each byte of a list, whose items become keys of a map.
const STEPS_PER_BYTE: usize = 16;

/// Merges a patch into an object.
///
/// The cost is proportional to the length of the patch, except for its lists and `$retainKeys`,
/// which visit the current fields and items. A patch may name the same item many times, so each of
/// these visits takes steps from `budget`.
pub(super) fn merge(
    shape: &Shape,
    object: &mut Value,
    patch: &Map<String, Value>,
    budget: &mut StepBudget,
) -> Result<(), StrategicMergeError> {
    if let Some(directive) = patch.get(PATCH) {
        *object = apply_directive(directive, patch)?;
        return Ok(());
    }
    let Value::Object(fields) = object else {
        *object = without_directives(&Value::Object(patch.clone()));
        return Ok(());
    };
    retain_keys(fields, patch, budget)?;
    for (name, value) in patch {
        let directive_field = |prefix: &str| directive_field(name, prefix);
        if let Some(field) = directive_field(SET_ELEMENT_ORDER)? {
            let order = value.as_array().ok_or_else(|| format_error("setElementOrder list"))?;
            merge_list(shape, fields, (field, patch.get(field)), ListChange::Order(order), budget)?;
        } else if let Some(field) = directive_field(DELETE_FROM_PRIMITIVE_LIST)? {
            let deleted = value.as_array().ok_or_else(|| format_error("primitive list"))?;
            if let Some(Value::Array(items)) = fields.get_mut(field) {
                budget.take(STEPS_PER_BYTE * list_json_size(items))?;
                let deleted: BTreeSet<_> = deleted.iter().map(OrderedValue::from).collect();
                items.retain(|item| !deleted.contains(&OrderedValue::from(item)));
            }
        } else if name != RETAIN_KEYS && !patch.contains_key(&format!("{SET_ELEMENT_ORDER}/{name}"))
        {
            merge_field(shape, fields, name, value, budget)?;
        }
    }
    Ok(())
}

/// The field of a directive key such as `$setElementOrder/tags`; none for other keys.
fn directive_field<'a>(key: &'a str, prefix: &str) -> Result<Option<&'a str>, StrategicMergeError> {
    let Some(rest) = key.strip_prefix(prefix) else { return Ok(None) };
    let what = if prefix == SET_ELEMENT_ORDER { "setElementOrder list" } else { "primitive list" };
    rest.strip_prefix('/').map(Some).ok_or_else(|| format_error(what))
}

fn format_error(what: &str) -> StrategicMergeError {
    StrategicMergeError::format(format!("invalid patch format of {what}"))
}

fn merge_field(
    shape: &Shape,
    fields: &mut Map<String, Value>,
    name: &str,
    patch: &Value,
    budget: &mut StepBudget,
) -> Result<(), StrategicMergeError> {
    let strategy = shape.field(name).map(|field| &field.patch);
    match (fields.get_mut(name), patch) {
        // swap_remove avoids moving all later fields. Their order has no meaning.
        (_, Value::Null) => _ = fields.swap_remove(name),
        (Some(current @ Value::Object(_)), Value::Object(patch))
            if strategy != Some(&PatchStrategy::Replace) =>
        {
            merge(shape.value(name).unwrap_or(&Shape::Untyped), current, patch, budget)?;
        }
        (Some(Value::Array(_)), Value::Array(_)) => {
            merge_list(shape, fields, (name, Some(patch)), ListChange::Merge, budget)?;
        }
        (_, patch) => _ = fields.insert(name.to_owned(), without_directives(patch)),
    }
    Ok(())
}

/// Merges the list at the field `name` by its merge strategy. `patch` is the value of the field in
/// the patch.
fn merge_list(
    shape: &Shape,
    fields: &mut Map<String, Value>,
    (name, patch): (&str, Option<&Value>),
    change: ListChange<'_>,
    budget: &mut StepBudget,
) -> Result<(), StrategicMergeError> {
    let expect = |value: Option<&Value>| match value {
        None | Some(Value::Null | Value::Array(_)) => Ok(()),
        Some(_) => {
            Err(StrategicMergeError::format(format!("expected the field {name} to be a list")))
        }
    };
    expect(fields.get(name))?;
    expect(patch)?;
    budget.take(STEPS_PER_BYTE * fields.get(name).map_or(0, json_size))?;
    let current = fields.get_mut(name).and_then(Value::as_array_mut).map(std::mem::take);
    let patch = patch.and_then(Value::as_array);
    if current.is_none() && patch.is_none() {
        return Ok(());
    }
    let strategy = match shape.field(name).map(|field| &field.patch) {
        Some(PatchStrategy::Merge(key)) => ListStrategy::Merge(key.as_deref()),
        _ => ListStrategy::Replace,
    };
    let items = match shape.value(name) {
        Some(Shape::List(_, items)) => items,
        _ => &Shape::Untyped,
    };
    let list = PatchedList { shape: items, strategy, merge_item: merge };
    let merged = list.patched(current, patch.map(Vec::as_slice), change, budget)?;
    fields.insert(name.to_owned(), Value::Array(merged));
    Ok(())
}

/// The result of a `$patch` directive for a whole object (`handleDirectiveInMergeMap`).
fn apply_directive(
    directive: &Value,
    patch: &Map<String, Value>,
) -> Result<Value, StrategicMergeError> {
    match directive.as_str() {
        Some("replace") => Ok(without_directives(&Value::Object(patch.clone()))),
        Some("delete") => Ok(Value::Object(Map::new())),
        _ => Err(unknown_directive(directive, patch)),
    }
}

/// Removes fields that `$retainKeys` does not list, which must include all fields that the patch
/// sets (`applyRetainKeysDirective`).
fn retain_keys(
    fields: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    budget: &mut StepBudget,
) -> Result<(), StrategicMergeError> {
    let Some(kept) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    budget.take(fields.len())?;
    let refuse = || format_error("retainKeys");
    let kept: BTreeSet<_> =
        kept.as_array().ok_or_else(refuse)?.iter().filter_map(Value::as_str).collect();
    let is_kept = |name: &str| kept.contains(name);
    let is_set = |(name, value): &(&String, &Value)| {
        let is_directive = *name == RETAIN_KEYS
            || name.starts_with(DELETE_FROM_PRIMITIVE_LIST)
            || name.starts_with(SET_ELEMENT_ORDER);
        !is_directive && !value.is_null()
    };
    if !patch.iter().filter(is_set).all(|(name, _)| is_kept(name)) {
        return Err(refuse());
    }
    fields.retain(|name, _| is_kept(name));
    Ok(())
}
