//! Merging of an applied configuration into the live object, and removal of fields that are no
//! longer applied.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::field_set::FieldSet;
use super::granularity::{self, Granularity};
use super::path_element::PathElement;
use crate::machinery::schema::{ListType, Shape};

/// Sets all fields of `applied` in `live`.
///
/// # Errors
/// A sentence about a list item without a valid key.
pub(super) fn merge(shape: &Shape, live: &mut Value, applied: &Value) -> Result<(), String> {
    let granularity = match applied {
        // An applied `null` does not remove the items of a live list or the fields of a live
        // object.
        Value::Null
            if is_filled(live) && !matches!(Granularity::of(shape, live), Granularity::Atomic) =>
        {
            return Ok(());
        }
        applied => Granularity::of(shape, applied),
    };
    match (granularity, applied) {
        (Granularity::Object(shape), Value::Object(fields)) if !fields.is_empty() => {
            let Value::Object(live) = live else {
                *live = applied.clone();
                return Ok(());
            };
            merge_fields(shape, live, fields)
        }
        (Granularity::List(list_type, shape), Value::Array(items)) if !items.is_empty() => {
            let Value::Array(live) = live else {
                *live = applied.clone();
                return Ok(());
            };
            *live = merge_items(list_type, shape, std::mem::take(live), items)?;
            Ok(())
        }
        (Granularity::Object(_), _)
            if live.as_object().is_some_and(|fields| !fields.is_empty()) =>
        {
            Ok(())
        }
        (Granularity::List(..), _) if live.as_array().is_some_and(|items| !items.is_empty()) => {
            Ok(())
        }
        _ => {
            *live = applied.clone();
            Ok(())
        }
    }
}

fn is_filled(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn merge_fields(
    shape: &Shape,
    live: &mut Map<String, Value>,
    applied: &Map<String, Value>,
) -> Result<(), String> {
    for (name, applied) in applied {
        match live.get_mut(name) {
            Some(live) => merge(shape.value(name).unwrap_or(&Shape::Untyped), live, applied)?,
            None => _ = live.insert(name.clone(), applied.clone()),
        }
    }
    Ok(())
}

/// Merges two lists. Applied items are in their order. Each item that only the live list has stays
/// before the shared item that follows it in the live list (`mergingWalker.visitListItems` in
/// `sigs.k8s.io/structured-merge-diff/typed/merge.go`).
fn merge_items(
    list_type: &ListType,
    shape: &Shape,
    live: Vec<Value>,
    applied: &[Value],
) -> Result<Vec<Value>, String> {
    let elements = |items: &[Value]| -> Result<Vec<PathElement>, String> {
        items.iter().map(|item| granularity::element(item, list_type)).collect()
    };
    let (live_order, order) = (elements(&live)?, elements(applied)?);
    let positions: BTreeMap<&PathElement, usize> =
        order.iter().enumerate().map(|(at, element)| (element, at)).collect();
    let mut shared: Vec<Option<Value>> = vec![None; applied.len()];
    let mut slots = Vec::with_capacity(live.len());
    for (mut item, element) in live.into_iter().zip(&live_order) {
        match positions.get(element).copied() {
            Some(at) if shared[at].is_none() => {
                merge(shape, &mut item, &applied[at])?;
                shared[at] = Some(item);
                slots.push(Slot::Shared(at));
            }
            Some(_) => {}
            None => slots.push(Slot::LiveOnly(item)),
        }
    }
    Ok(interleave(applied, shared, slots))
}

/// An item of the live list.
enum Slot {
    /// An item that only the live list has.
    LiveOnly(Value),
    /// An item of both lists, by its index in the applied list.
    Shared(usize),
}

/// Inserts the live-only items between the applied items. `merged` has the results for shared
/// items.
fn interleave(applied: &[Value], merged: Vec<Option<Value>>, live: Vec<Slot>) -> Vec<Value> {
    let mut out = Vec::with_capacity(merged.len() + live.len());
    let mut live = live.into_iter().peekable();
    let shared: Vec<_> = (0..merged.len()).filter(|at| merged[*at].is_some()).collect();
    let mut shared = shared.into_iter().peekable();
    for (at, (applied, merged)) in applied.iter().zip(merged).enumerate() {
        let next = shared.peek().copied();
        let is_next = |slot: &Slot| matches!(slot, Slot::Shared(at) if Some(*at) == next);
        while let Some(slot) = live.next_if(|slot| !is_next(slot)) {
            out.extend(slot.live_only());
        }
        if shared.next_if_eq(&at).is_some() {
            live.next_if(is_next);
        }
        out.push(merged.unwrap_or_else(|| applied.clone()));
    }
    out.extend(live.filter_map(Slot::live_only));
    out
}

impl Slot {
    fn live_only(self) -> Option<Value> {
        match self {
            Self::LiveOnly(item) => Some(item),
            Self::Shared(_) => None,
        }
    }
}

/// Removes the fields in `last_applied` (the previous configuration of a manager) that nobody owns
/// any more (`Updater.prune`).
pub(super) fn prune(shape: &Shape, value: &mut Value, last_applied: &FieldSet, owned: &FieldSet) {
    Pruning { last_applied, owned: Some(owned), was_applied: false, is_unowned: false }
        .descend(shape, value);
}

/// State of pruning at one value.
struct Pruning<'a> {
    /// The members of the previous configuration at and below the value.
    last_applied: &'a FieldSet,
    /// The members that any manager owns now, at and below the value.
    owned: Option<&'a FieldSet>,
    /// The value or an ancestor was a member of the previous configuration.
    was_applied: bool,
    /// The value or an ancestor was such a member and now has no owner.
    is_unowned: bool,
}

impl Pruning<'_> {
    fn descend(&self, shape: &Shape, value: &mut Value) {
        match (Granularity::of(shape, value), value) {
            (Granularity::Object(shape), Value::Object(fields)) => fields.retain(|name, value| {
                let part = shape.value(name).unwrap_or(&Shape::Untyped);
                let naming =
                    if shape.field(name).is_some() { Naming::Declared } else { Naming::Dynamic };
                self.retain_part(&PathElement::Field(name.clone()), naming, part, value)
            }),
            (Granularity::List(list_type, shape), Value::Array(items)) => {
                items.retain_mut(|item| {
                    granularity::element(item, list_type).map_or(true, |element| {
                        self.retain_part(&element, Naming::Dynamic, shape, item)
                    })
                })
            }
            _ => {}
        }
    }

    /// Prunes a part of the value. Returns false if the whole part is to be removed.
    fn retain_part(
        &self,
        element: &PathElement,
        naming: Naming,
        shape: &Shape,
        value: &mut Value,
    ) -> bool {
        let Some(last_applied) = self.last_applied.part(element) else { return true };
        let owned = self.owned.and_then(|owned| owned.part(element));
        let was_member = naming.is_in(last_applied);
        let was_applied = self.was_applied || was_member;
        let is_unowned =
            self.is_unowned || (was_applied && !owned.is_some_and(|owned| naming.is_in(owned)));
        if was_member && is_unowned {
            return false;
        }
        if last_applied.has_parts() {
            Pruning { last_applied, owned, was_applied, is_unowned }.descend(shape, value);
        }
        true
    }
}

/// Origin of the name of a part.
#[derive(Clone, Copy)]
enum Naming {
    /// A field of a struct, which is owned by everyone who owns a field below it.
    Declared,
    /// A key of a map or an item of a list, which has its own owners.
    Dynamic,
}

impl Naming {
    fn is_in(self, set: &FieldSet) -> bool {
        match self {
            Self::Declared => !set.is_empty(),
            Self::Dynamic => set.is_member,
        }
    }
}
