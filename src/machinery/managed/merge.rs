//! The two edits of an apply: setting what is wanted, and taking away what is wanted no more and owned by nobody else.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::Element;
use super::form::{self, Form};
use super::set::Set;
use crate::machinery::schema::{ListType, Shape};

/// Sets everything in `live` that `wanted` has.
///
/// # Errors
/// A sentence about an item of a list that cannot be told from others.
pub(super) fn merge(shape: &Shape, live: &mut Value, wanted: &Value) -> Result<(), String> {
    let form = match wanted {
        // Nothing is wanted of what is there; without more it is no reason to take it away.
        Value::Null if is_filled(live) && !matches!(Form::of(shape, live), Form::Leaf) => return Ok(()),
        wanted => Form::of(shape, wanted),
    };
    match (form, wanted) {
        (Form::Object(shape), Value::Object(fields)) if !fields.is_empty() => {
            let Value::Object(live) = live else {
                *live = wanted.clone();
                return Ok(());
            };
            merge_fields(shape, live, fields)
        }
        (Form::List(list_type, shape), Value::Array(items)) if !items.is_empty() => {
            let Value::Array(live) = live else {
                *live = wanted.clone();
                return Ok(());
            };
            *live = merge_items(list_type, shape, std::mem::take(live), items)?;
            Ok(())
        }
        (Form::Object(_), _) if live.as_object().is_some_and(|fields| !fields.is_empty()) => Ok(()),
        (Form::List(..), _) if live.as_array().is_some_and(|items| !items.is_empty()) => Ok(()),
        _ => {
            *live = wanted.clone();
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

fn merge_fields(shape: &Shape, live: &mut Map<String, Value>, wanted: &Map<String, Value>) -> Result<(), String> {
    for (name, wanted) in wanted {
        match live.get_mut(name) {
            Some(live) => merge(shape.value(name).unwrap_or(&Shape::Untyped), live, wanted)?,
            None => _ = live.insert(name.clone(), wanted.clone()),
        }
    }
    Ok(())
}

/// The items of both lists, those that are wanted in their order. What only the live list has keeps its place as far as
/// that order allows: before the wanted item that it stands before.
fn merge_items(list_type: &ListType, shape: &Shape, live: Vec<Value>, wanted: &[Value]) -> Result<Vec<Value>, String> {
    let elements = |items: &[Value]| -> Result<Vec<Element>, String> {
        items.iter().map(|item| form::element(item, list_type)).collect()
    };
    let (live_order, order) = (elements(&live)?, elements(wanted)?);
    let places: BTreeMap<&Element, usize> = order.iter().enumerate().map(|(at, element)| (element, at)).collect();
    let mut shared: Vec<Option<Value>> = vec![None; wanted.len()];
    let mut slots = Vec::with_capacity(live.len());
    for (mut item, element) in live.into_iter().zip(&live_order) {
        match places.get(element).copied() {
            Some(at) if shared[at].is_none() => {
                merge(shape, &mut item, &wanted[at])?;
                shared[at] = Some(item);
                slots.push(Slot::Shared(at));
            }
            Some(_) => {}
            None => slots.push(Slot::Only(item)),
        }
    }
    Ok(interleave(wanted, shared, slots))
}

/// An item of the live list.
enum Slot {
    /// Only the live list has it.
    Only(Value),
    /// It stands at this place of the wanted ones.
    Shared(usize),
}

/// Puts the items that only the live list has between the wanted ones, of which the shared ones are merged already.
fn interleave(wanted: &[Value], merged: Vec<Option<Value>>, live: Vec<Slot>) -> Vec<Value> {
    let mut out = Vec::with_capacity(merged.len() + live.len());
    let mut live = live.into_iter().peekable();
    let shared: Vec<_> = (0..merged.len()).filter(|at| merged[*at].is_some()).collect();
    let mut shared = shared.into_iter().peekable();
    for (at, (wanted, merged)) in wanted.iter().zip(merged).enumerate() {
        let next = shared.peek().copied();
        let is_next = |slot: &Slot| matches!(slot, Slot::Shared(at) if Some(*at) == next);
        while let Some(slot) = live.next_if(|slot| !is_next(slot)) {
            out.extend(slot.only());
        }
        if shared.next_if_eq(&at).is_some() {
            live.next_if(is_next);
        }
        out.push(merged.unwrap_or_else(|| wanted.clone()));
    }
    out.extend(live.filter_map(Slot::only));
    out
}

impl Slot {
    fn only(self) -> Option<Value> {
        match self {
            Self::Only(item) => Some(item),
            Self::Shared(_) => None,
        }
    }
}

/// Takes away everything that `last` has (what a manager wanted before) and `owned` has not (what all managers want now).
pub(super) fn prune(shape: &Shape, value: &mut Value, last: &Set, owned: &Set) {
    Pruning { last, owned: Some(owned), was_wanted: false, is_forsaken: false }.descend(shape, value);
}

/// How things stand with a value.
struct Pruning<'a> {
    /// What was wanted of it.
    last: &'a Set,
    /// What is owned of it now, by anybody.
    owned: Option<&'a Set>,
    /// Whether it, or something around it, was wanted as such.
    was_wanted: bool,
    /// Whether it, or something around it, was wanted and is now owned by nobody.
    is_forsaken: bool,
}

impl Pruning<'_> {
    fn descend(&self, shape: &Shape, value: &mut Value) {
        match (Form::of(shape, value), value) {
            (Form::Object(shape), Value::Object(fields)) => fields.retain(|name, value| {
                let part = shape.value(name).unwrap_or(&Shape::Untyped);
                let naming = if shape.field(name).is_some() { Naming::Declared } else { Naming::Free };
                self.keeps(&Element::Field(name.clone()), naming, part, value)
            }),
            (Form::List(list_type, shape), Value::Array(items)) => items.retain_mut(|item| {
                form::element(item, list_type).map_or(true, |element| self.keeps(&element, Naming::Free, shape, item))
            }),
            _ => {}
        }
    }

    /// Whether a part of the value stays. If it does, parts of it may have gone.
    fn keeps(&self, element: &Element, naming: Naming, shape: &Shape, value: &mut Value) -> bool {
        let Some(last) = self.last.part(element) else { return true };
        let owned = self.owned.and_then(|owned| owned.part(element));
        let was_member = naming.has(last);
        let was_wanted = self.was_wanted || was_member;
        let is_forsaken = self.is_forsaken || (was_wanted && !owned.is_some_and(|owned| naming.has(owned)));
        if was_member && is_forsaken {
            return false;
        }
        if last.has_parts() {
            Pruning { last, owned, was_wanted, is_forsaken }.descend(shape, value);
        }
        true
    }
}

/// Whether a part is there by declaration or because somebody made it.
#[derive(Clone, Copy)]
enum Naming {
    /// A field of the type: who owns something below it owns it as well.
    Declared,
    /// A key of a map or an item of a list: it is owned by itself.
    Free,
}

impl Naming {
    fn has(self, set: &Set) -> bool {
        match self {
            Self::Declared => !set.is_empty(),
            Self::Free => set.is_member,
        }
    }
}
