//! Lists in strategic merge patches: merging by key or as sets, and the order of what comes out.
//!
//! Items that the patch names come in its order; the others keep their places among them as far as that allows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::strategic::{self, Fault, PATCH, unknown_directive};
use crate::machinery::go_text;
use crate::machinery::schema::Shape;
use crate::machinery::single::Single;
use crate::machinery::steps::Steps;

/// A list field.
#[derive(Clone, Copy)]
pub(super) struct List<'a> {
    /// The shape of its items.
    pub(super) shape: &'a Shape,
    /// What patches do with it.
    pub(super) strategy: Strategy<'a>,
}

/// What patches do with a list.
#[derive(Clone, Copy)]
pub(super) enum Strategy<'a> {
    /// It is replaced.
    Replace,
    /// It is merged: objects by the value of this key, single values as a set.
    Merge(Option<&'a str>),
}

/// What is done with a list.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    /// The patch is merged into it.
    Merge,
    /// The same, and then the items are put into this order; objects in it have only the key.
    Order(&'a [Value]),
}

impl List<'_> {
    /// The list that a patch makes of `present`, in `O(n log n)` for the bytes of both.
    pub(super) fn changed(
        self,
        present: Option<Vec<Value>>,
        patch: Option<&[Value]>,
        change: Change<'_>,
        steps: &mut Steps,
    ) -> Result<Vec<Value>, Fault> {
        let before = present.as_deref().map_or_else(BTreeMap::new, |items| self.places(items));
        let merged = match (present, patch) {
            (Some(present), Some(patch)) => self.merged(present, patch, steps)?,
            (Some(present), None) => present,
            (None, patch) => patch.unwrap_or_default().iter().map(strategic::fresh).collect(),
        };
        match change {
            Change::Merge => Ok(merged),
            Change::Order(order) => {
                self.check_order(patch.unwrap_or_default(), order)?;
                self.ordered(merged, order, &before)
            }
        }
    }

    fn merged(self, present: Vec<Value>, patch: &[Value], steps: &mut Steps) -> Result<Vec<Value>, Fault> {
        let Strategy::Merge(key) = self.strategy else {
            return Ok(patch.iter().map(strategic::fresh).collect());
        };
        match common_type(present.iter().chain(patch))? {
            None => Ok(present),
            Some(Type::Single) => self.merged_set(present, patch),
            Some(Type::Object) => match key {
                Some(key) => self.merged_map(present, patch, key, steps),
                None => Err(Fault::format("cannot merge lists without merge key for type struct")),
            },
        }
    }

    fn merged_set(self, mut present: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>, Fault> {
        let before = self.places(&present);
        present.extend(patch.iter().cloned());
        let mut seen = BTreeSet::new();
        present.retain(|item| seen.insert(Single::from(item)));
        self.ordered(present, patch, &before)
    }

    fn merged_map(
        self,
        mut present: Vec<Value>,
        patch: &[Value],
        key: &str,
        steps: &mut Steps,
    ) -> Result<Vec<Value>, Fault> {
        let directives = Directives::read(patch, key)?;
        if directives.replaces {
            return Ok(directives
                .items
                .into_iter()
                .map(|item| strategic::fresh(&Value::Object(item.clone())))
                .collect());
        }
        if !directives.gone.is_empty() {
            present.retain(|item| item.get(key).is_none_or(|value| !directives.gone.contains(&Single::from(value))));
        }
        let before = self.places(&present);
        let mut places = before.clone();
        for item in &directives.items {
            let value = item.get(key).ok_or_else(|| Fault::no_merge_key(item, key))?;
            match places.get(&Single::from(value)) {
                Some(at) => strategic::merge(self.shape, &mut present[*at], item, steps)?,
                None => {
                    places.insert(Single::from(value), present.len());
                    present.push(strategic::fresh(&Value::Object((*item).clone())));
                }
            }
        }
        let order: Vec<Value> = directives.items.into_iter().map(|item| Value::Object(item.clone())).collect();
        self.ordered(present, &order, &before)
    }

    /// Puts the items that `order` names into its order, and the others between them, as in the list before.
    fn ordered(
        self,
        items: Vec<Value>,
        order: &[Value],
        before: &BTreeMap<Single, usize>,
    ) -> Result<Vec<Value>, Fault> {
        let wanted = self.places(order);
        let mut named = Vec::new();
        let mut others = Vec::new();
        for item in items {
            let id = self.id(&item)?;
            let place = before.get(&id).copied();
            match wanted.get(&id) {
                Some(at) => named.push((*at, place, item)),
                None => others.push((place, item)),
            }
        }
        named.sort_by_key(|(at, _, _)| *at);
        let mut out = Vec::with_capacity(named.len() + others.len());
        let mut others = others.into_iter().peekable();
        for (_, place, item) in named {
            // Only where both were in the list before it is known which comes first.
            while let Some((_, other)) =
                others.next_if(|(other, _)| other.is_some() && place.is_some() && *other < place)
            {
                out.push(other);
            }
            out.push(item);
        }
        out.extend(others.map(|(_, item)| item));
        Ok(out)
    }

    /// Refuses a patch whose items stand in another order than the one that it asks for.
    fn check_order(self, patch: &[Value], order: &[Value]) -> Result<(), Fault> {
        let mut wanted = order.iter().filter_map(|item| self.id(item).ok());
        for item in patch.iter().filter(|item| item.get(PATCH).is_none()) {
            let id = self.id(item)?;
            if !wanted.any(|wanted| wanted == id) {
                let (patch, order) = (go_text::of_list(patch), go_text::of_list(order));
                return Err(Fault::format(format!(
                    "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
                )));
            }
        }
        Ok(())
    }

    /// What tells an item apart.
    fn id(self, item: &Value) -> Result<Single, Fault> {
        match (self.strategy, item) {
            (Strategy::Merge(Some(key)), Value::Object(fields)) => {
                fields.get(key).map(Single::from).ok_or_else(|| Fault::no_merge_key(fields, key))
            }
            (_, item) => Ok(Single::from(item)),
        }
    }

    /// The items' places by what tells them apart, of several the first. Items that cannot be told apart have none.
    fn places(self, items: &[Value]) -> BTreeMap<Single, usize> {
        let mut places = BTreeMap::new();
        for (at, item) in items.iter().enumerate() {
            if let Ok(id) = self.id(item) {
                places.entry(id).or_insert(at);
            }
        }
        places
    }
}

/// The items of a patch, and what its directives say.
struct Directives<'a> {
    items: Vec<&'a Map<String, Value>>,
    gone: BTreeSet<Single>,
    replaces: bool,
}

impl<'a> Directives<'a> {
    fn read(patch: &'a [Value], key: &str) -> Result<Self, Fault> {
        let mut all = Self { items: Vec::new(), gone: BTreeSet::new(), replaces: false };
        for item in patch.iter().filter_map(Value::as_object) {
            let Some(directive) = item.get(PATCH) else {
                all.items.push(item);
                continue;
            };
            match directive.as_str() {
                Some("delete") => {
                    let value = item.get(key).ok_or_else(|| Fault::no_merge_key(item, key))?;
                    all.gone.insert(Single::from(value));
                }
                Some("replace") => all.replaces = true,
                Some("merge") => return Err(Fault::format("merging lists cannot yet be specified in the patch")),
                _ => return Err(unknown_directive(directive, item)),
            }
        }
        Ok(all)
    }
}

/// What the items of a list are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Object,
    Single,
}

/// What all items are; none if there are none.
fn common_type<'a>(items: impl Iterator<Item = &'a Value> + Clone) -> Result<Option<Type>, Fault> {
    let mut types = items.clone().map(std::mem::discriminant);
    let Some(first) = items.clone().next() else { return Ok(None) };
    if first.is_array() {
        return Err(Fault::Content);
    }
    if !types.all(|other| other == std::mem::discriminant(first)) {
        let items: Vec<_> = items.cloned().collect();
        return Err(Fault::format(format!("list element types are not identical: {}", go_text::of_list(&items))));
    }
    Ok(Some(if first.is_object() { Type::Object } else { Type::Single }))
}
