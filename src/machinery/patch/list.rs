//! Lists in strategic merge patches: merging by key or as sets, and the order of what comes out.
//!
//! Items that the patch names come in its order; the others keep their positions among them as far as that allows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::strategic_merge::{self, PATCH, StrategicMergeError, unknown_directive};
use crate::machinery::go_fmt;
use crate::machinery::ordered_value::OrderedValue;
use crate::machinery::schema::Shape;
use crate::machinery::step_budget::StepBudget;

/// A list field.
#[derive(Clone, Copy)]
pub(super) struct PatchedList<'a> {
    /// The shape of its items.
    pub(super) shape: &'a Shape,
    /// What patches do with it.
    pub(super) strategy: ListStrategy<'a>,
}

/// What patches do with a list.
#[derive(Clone, Copy)]
pub(super) enum ListStrategy<'a> {
    /// It is replaced.
    Replace,
    /// It is merged: objects by the value of this key, single values as a set.
    Merge(Option<&'a str>),
}

/// What is done with a list.
#[derive(Clone, Copy)]
pub(super) enum ListChange<'a> {
    /// The patch is merged into it.
    Merge,
    /// The same, and then the items are put into this order; objects in it have only the key.
    Order(&'a [Value]),
}

impl PatchedList<'_> {
    /// The list that a patch makes of `current`, in `O(n log n)` for the bytes of both.
    pub(super) fn patched(
        self,
        current: Option<Vec<Value>>,
        patch: Option<&[Value]>,
        change: ListChange<'_>,
        budget: &mut StepBudget,
    ) -> Result<Vec<Value>, StrategicMergeError> {
        let before = current.as_deref().map_or_else(BTreeMap::new, |items| self.positions(items));
        let merged = match (current, patch) {
            (Some(current), Some(patch)) => self.merged(current, patch, budget)?,
            (Some(current), None) => current,
            (None, patch) => patch.unwrap_or_default().iter().map(strategic_merge::without_directives).collect(),
        };
        match change {
            ListChange::Merge => Ok(merged),
            ListChange::Order(order) => {
                self.check_order(patch.unwrap_or_default(), order)?;
                self.ordered(merged, order, &before)
            }
        }
    }

    fn merged(
        self,
        current: Vec<Value>,
        patch: &[Value],
        budget: &mut StepBudget,
    ) -> Result<Vec<Value>, StrategicMergeError> {
        let ListStrategy::Merge(key) = self.strategy else {
            return Ok(patch.iter().map(strategic_merge::without_directives).collect());
        };
        match common_type(current.iter().chain(patch))? {
            None => Ok(current),
            Some(ItemType::Scalar) => self.merged_set(current, patch),
            Some(ItemType::Object) => match key {
                Some(key) => self.merged_map(current, patch, key, budget),
                None => Err(StrategicMergeError::format("cannot merge lists without merge key for type struct")),
            },
        }
    }

    fn merged_set(self, mut current: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>, StrategicMergeError> {
        let before = self.positions(&current);
        current.extend(patch.iter().cloned());
        let mut seen = BTreeSet::new();
        current.retain(|item| seen.insert(OrderedValue::from(item)));
        self.ordered(current, patch, &before)
    }

    fn merged_map(
        self,
        mut current: Vec<Value>,
        patch: &[Value],
        key: &str,
        budget: &mut StepBudget,
    ) -> Result<Vec<Value>, StrategicMergeError> {
        let directives = Directives::read(patch, key)?;
        if directives.replaces {
            return Ok(directives
                .items
                .into_iter()
                .map(|item| strategic_merge::without_directives(&Value::Object(item.clone())))
                .collect());
        }
        if !directives.deleted.is_empty() {
            current.retain(|item| {
                item.get(key).is_none_or(|value| !directives.deleted.contains(&OrderedValue::from(value)))
            });
        }
        let before = self.positions(&current);
        let mut positions = before.clone();
        for item in &directives.items {
            let value = item.get(key).ok_or_else(|| StrategicMergeError::no_merge_key(item, key))?;
            match positions.get(&OrderedValue::from(value)) {
                Some(at) => strategic_merge::merge(self.shape, &mut current[*at], item, budget)?,
                None => {
                    positions.insert(OrderedValue::from(value), current.len());
                    current.push(strategic_merge::without_directives(&Value::Object((*item).clone())));
                }
            }
        }
        let order: Vec<Value> = directives.items.into_iter().map(|item| Value::Object(item.clone())).collect();
        self.ordered(current, &order, &before)
    }

    /// Puts the items that `order` names into its order, and the others between them, as in the list before.
    fn ordered(
        self,
        items: Vec<Value>,
        order: &[Value],
        before: &BTreeMap<OrderedValue, usize>,
    ) -> Result<Vec<Value>, StrategicMergeError> {
        let order_positions = self.positions(order);
        let mut named = Vec::new();
        let mut others = Vec::new();
        for item in items {
            let id = self.id(&item)?;
            let position = before.get(&id).copied();
            match order_positions.get(&id) {
                Some(at) => named.push((*at, position, item)),
                None => others.push((position, item)),
            }
        }
        named.sort_by_key(|(at, _, _)| *at);
        let mut out = Vec::with_capacity(named.len() + others.len());
        let mut others = others.into_iter().peekable();
        for (_, position, item) in named {
            // Only where both were in the list before it is known which comes first.
            while let Some((_, other)) =
                others.next_if(|(other, _)| other.is_some() && position.is_some() && *other < position)
            {
                out.push(other);
            }
            out.push(item);
        }
        out.extend(others.map(|(_, item)| item));
        Ok(out)
    }

    /// Refuses a patch whose items stand in another order than the one that it asks for.
    fn check_order(self, patch: &[Value], order: &[Value]) -> Result<(), StrategicMergeError> {
        let mut order_ids = order.iter().filter_map(|item| self.id(item).ok());
        for item in patch.iter().filter(|item| item.get(PATCH).is_none()) {
            let id = self.id(item)?;
            if !order_ids.any(|other| other == id) {
                let (patch, order) = (go_fmt::list(patch), go_fmt::list(order));
                return Err(StrategicMergeError::format(format!(
                    "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
                )));
            }
        }
        Ok(())
    }

    /// What tells an item apart.
    fn id(self, item: &Value) -> Result<OrderedValue, StrategicMergeError> {
        match (self.strategy, item) {
            (ListStrategy::Merge(Some(key)), Value::Object(fields)) => {
                fields.get(key).map(OrderedValue::from).ok_or_else(|| StrategicMergeError::no_merge_key(fields, key))
            }
            (_, item) => Ok(OrderedValue::from(item)),
        }
    }

    /// The items' positions by what tells them apart, of several the first. Items that cannot be told apart have none.
    fn positions(self, items: &[Value]) -> BTreeMap<OrderedValue, usize> {
        let mut positions = BTreeMap::new();
        for (at, item) in items.iter().enumerate() {
            if let Ok(id) = self.id(item) {
                positions.entry(id).or_insert(at);
            }
        }
        positions
    }
}

/// The items of a patch, and what its directives say.
struct Directives<'a> {
    items: Vec<&'a Map<String, Value>>,
    deleted: BTreeSet<OrderedValue>,
    replaces: bool,
}

impl<'a> Directives<'a> {
    fn read(patch: &'a [Value], key: &str) -> Result<Self, StrategicMergeError> {
        let mut all = Self { items: Vec::new(), deleted: BTreeSet::new(), replaces: false };
        for item in patch.iter().filter_map(Value::as_object) {
            let Some(directive) = item.get(PATCH) else {
                all.items.push(item);
                continue;
            };
            match directive.as_str() {
                Some("delete") => {
                    let value = item.get(key).ok_or_else(|| StrategicMergeError::no_merge_key(item, key))?;
                    all.deleted.insert(OrderedValue::from(value));
                }
                Some("replace") => all.replaces = true,
                Some("merge") => {
                    return Err(StrategicMergeError::format("merging lists cannot yet be specified in the patch"));
                }
                _ => return Err(unknown_directive(directive, item)),
            }
        }
        Ok(all)
    }
}

/// What the items of a list are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ItemType {
    Object,
    Scalar,
}

/// What all items are; none if there are none.
fn common_type<'a>(items: impl Iterator<Item = &'a Value> + Clone) -> Result<Option<ItemType>, StrategicMergeError> {
    let mut types = items.clone().map(std::mem::discriminant);
    let Some(first) = items.clone().next() else { return Ok(None) };
    if first.is_array() {
        return Err(StrategicMergeError::Unsupported);
    }
    if !types.all(|other| other == std::mem::discriminant(first)) {
        let items: Vec<_> = items.cloned().collect();
        return Err(StrategicMergeError::format(format!(
            "list element types are not identical: {}",
            go_fmt::list(&items)
        )));
    }
    Ok(Some(if first.is_object() { ItemType::Object } else { ItemType::Scalar }))
}
