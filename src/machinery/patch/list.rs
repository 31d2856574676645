//! Lists in strategic merge patches: merging and ordering.
//!
//! Items of the patch are in its order. Other items keep their positions relative to them where
//! possible.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::directives::{PATCH, StrategicMergeError, unknown_directive, without_directives};
use crate::machinery::go_fmt;
use crate::machinery::ordered_value::OrderedValue;
use crate::machinery::schema::Shape;
use crate::machinery::step_budget::StepBudget;

/// A list field and its merge strategy.
#[derive(Clone, Copy)]
pub(super) struct PatchedList<'a> {
    /// The shape of the items.
    pub(super) shape: &'a Shape,
    /// The merge strategy.
    pub(super) strategy: ListStrategy<'a>,
    /// Merges the patch of an item into the item.
    pub(super) merge_item: MergeItem,
}

/// A function that merges a patch into an object of a shape.
pub(super) type MergeItem =
    fn(&Shape, &mut Value, &Map<String, Value>, &mut StepBudget) -> Result<(), StrategicMergeError>;

/// The merge strategy of a list.
#[derive(Clone, Copy)]
pub(super) enum ListStrategy<'a> {
    /// Replaces the list.
    Replace,
    /// Merges objects by the value of this key, and scalars as a set.
    Merge(Option<&'a str>),
}

/// The change to a list.
#[derive(Clone, Copy)]
pub(super) enum ListChange<'a> {
    /// Merges the patch.
    Merge,
    /// Merges the patch and sorts the items in this order (`$setElementOrder`). Objects in the
    /// order have only the key.
    Order(&'a [Value]),
}

impl PatchedList<'_> {
    /// Applies a patch to the list `current`, in `O(n log n)` for the bytes of both.
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
            (None, patch) => patch.unwrap_or_default().iter().map(without_directives).collect(),
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
            return Ok(patch.iter().map(without_directives).collect());
        };
        match common_type(current.iter().chain(patch))? {
            None => Ok(current),
            Some(ItemType::Scalar) => self.merged_set(current, patch),
            Some(ItemType::Object) => match key {
                Some(key) => self.merged_map(current, patch, key, budget),
                None => Err(StrategicMergeError::format(
                    "cannot merge lists without merge key for type struct",
                )),
            },
        }
    }

    fn merged_set(
        self,
        mut current: Vec<Value>,
        patch: &[Value],
    ) -> Result<Vec<Value>, StrategicMergeError> {
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
                .map(|item| without_directives(&Value::Object(item.clone())))
                .collect());
        }
        if !directives.deleted.is_empty() {
            current.retain(|item| {
                item.get(key)
                    .is_none_or(|value| !directives.deleted.contains(&OrderedValue::from(value)))
            });
        }
        let before = self.positions(&current);
        let mut positions = before.clone();
        for item in &directives.items {
            let value =
                item.get(key).ok_or_else(|| StrategicMergeError::no_merge_key(item, key))?;
            match positions.get(&OrderedValue::from(value)) {
                Some(at) => (self.merge_item)(self.shape, &mut current[*at], item, budget)?,
                None => {
                    positions.insert(OrderedValue::from(value), current.len());
                    current.push(without_directives(&Value::Object((*item).clone())));
                }
            }
        }
        let order: Vec<Value> =
            directives.items.into_iter().map(|item| Value::Object(item.clone())).collect();
        self.ordered(current, &order, &before)
    }

    /// Sorts items by `order`, with other items at their previous positions relative to these
    /// (`normalizeElementOrder`).
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
            // The previous order is known only for items that both had a position.
            while let Some((_, other)) = others
                .next_if(|(other, _)| other.is_some() && position.is_some() && *other < position)
            {
                out.push(other);
            }
            out.push(item);
        }
        out.extend(others.map(|(_, item)| item));
        Ok(out)
    }

    /// Checks that the items of a patch are in the order of its `$setElementOrder`
    /// (`validatePatchWithSetOrderList`).
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

    /// The identity of an item: the value of the merge key, or the item itself.
    fn id(self, item: &Value) -> Result<OrderedValue, StrategicMergeError> {
        match (self.strategy, item) {
            (ListStrategy::Merge(Some(key)), Value::Object(fields)) => fields
                .get(key)
                .map(OrderedValue::from)
                .ok_or_else(|| StrategicMergeError::no_merge_key(fields, key)),
            (_, item) => Ok(OrderedValue::from(item)),
        }
    }

    /// The positions of items by identity, the first one for duplicates. Items without the merge
    /// key are left out.
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

/// The items of a patch and its directives.
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
                    let value = item
                        .get(key)
                        .ok_or_else(|| StrategicMergeError::no_merge_key(item, key))?;
                    all.deleted.insert(OrderedValue::from(value));
                }
                Some("replace") => all.replaces = true,
                Some("merge") => {
                    return Err(StrategicMergeError::format(
                        "merging lists cannot yet be specified in the patch",
                    ));
                }
                _ => return Err(unknown_directive(directive, item)),
            }
        }
        Ok(all)
    }
}

/// The type of list items.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ItemType {
    Object,
    Scalar,
}

/// The type of all items; none for an empty list.
fn common_type<'a>(
    items: impl Iterator<Item = &'a Value> + Clone,
) -> Result<Option<ItemType>, StrategicMergeError> {
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
