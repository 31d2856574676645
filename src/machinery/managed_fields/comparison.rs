//! What changed from one granularity of an object to another, field by field. Costs about as much as comparing the two.

use serde_json::Value;

use super::field_set::FieldSet;
use super::granularity::{self, Granularity};
use super::path_element::PathElement;
use crate::machinery::schema::{ListType, Shape};

/// The fields in which two values differ.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Fields that are new or have another value.
    pub(super) changed: FieldSet,
    /// Fields that are there no more.
    pub(super) removed: FieldSet,
}

/// The difference between two objects of one shape.
///
/// # Errors
/// A sentence about an item of a list that cannot be told from others.
pub(super) fn compare(shape: &Shape, old: &Value, new: &Value) -> Result<Comparison, String> {
    let mut all = Comparison::default();
    all.add(shape, Some(old), Some(new))?;
    Ok(all)
}

impl Comparison {
    /// Takes a field of the object out of the difference, with all that is below.
    pub(super) fn exclude(&mut self, name: &str) {
        let element = PathElement::Field(name.to_owned());
        self.changed.remove_part(&element);
        self.removed.remove_part(&element);
    }

    fn add(&mut self, shape: &Shape, old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
        // Nothing is an empty value of whatever granularity the other has.
        let granularity = |value: Option<&Value>, other: Option<&Value>| {
            value.map(|value| Granularity::of(shape, if value.is_null() { other.unwrap_or(value) } else { value }))
        };
        match (granularity(old, new), granularity(new, old)) {
            // What may be anything may have become another thing: all that was goes, and all that is comes.
            (Some(Granularity::Object(_)), Some(Granularity::Atomic)) => {
                self.parts(shape, old, None)?;
                self.leaf(old, new);
            }
            (Some(Granularity::Atomic), Some(Granularity::Object(_))) => {
                self.leaf(old, new);
                self.parts(shape, None, new)?;
            }
            (_, Some(granularity)) | (Some(granularity), None) => self.add_as(granularity, old, new)?,
            (None, None) => {}
        }
        Ok(())
    }

    fn add_as(&mut self, granularity: Granularity<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
        let is_filled = |value: Option<&Value>| match granularity {
            Granularity::Atomic => false,
            Granularity::Object(_) => granularity::fields(value).is_some_and(|fields| !fields.is_empty()),
            Granularity::List(..) => !granularity::list(value).is_empty(),
        };
        // An empty list or object has no parts, so that it is owned itself.
        if !is_filled(old) && !is_filled(new) {
            self.leaf(old, new);
            return Ok(());
        }
        match granularity {
            Granularity::Atomic => {}
            Granularity::Object(shape) => self.parts(shape, old, new)?,
            Granularity::List(list_type, shape) => {
                self.items(list_type, shape, granularity::list(old), granularity::list(new))?
            }
        }
        self.changed.is_member |= old.is_none();
        self.removed.is_member |= new.is_none();
        Ok(())
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match new {
            None => self.removed.is_member = true,
            Some(_) if new != old => self.changed.is_member = true,
            Some(_) => {}
        }
    }

    fn parts(&mut self, shape: &Shape, old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
        let (old, new) = (granularity::fields(old), granularity::fields(new));
        let in_old = |name: &str| old.and_then(|fields| fields.get(name));
        let in_new = |name: &str| new.and_then(|fields| fields.get(name));
        let names = old.into_iter().flatten().map(|(name, _)| name);
        let more = new.into_iter().flatten().map(|(name, _)| name).filter(|name| in_old(name).is_none());
        for name in names.chain(more) {
            let mut part = Self::default();
            let shape = shape.value(name).unwrap_or(&Shape::Untyped);
            part.add(shape, in_old(name), in_new(name))?;
            self.insert(part, || PathElement::Field(name.clone()));
        }
        Ok(())
    }

    fn items(&mut self, list_type: &ListType, shape: &Shape, old: &[Value], new: &[Value]) -> Result<(), String> {
        let (old, new) = without_common_ends(old, new);
        let ((_, old), (order, new)) = (granularity::items(old, list_type)?, granularity::items(new, list_type)?);
        let removed_items = old.keys().filter(|element| !new.contains_key(element));
        let none = Vec::new();
        let mut part_of = |element: &PathElement| -> Result<(), String> {
            let (old, new) = (old.get(element).unwrap_or(&none), new.get(element).unwrap_or(&none));
            let mut part = Self::default();
            match (&old[..], &new[..]) {
                ([], [new]) => part.add(shape, None, Some(new))?,
                ([old], []) => part.add(shape, Some(old), None)?,
                ([old], [new]) => part.add(shape, Some(old), Some(new))?,
                // Items that cannot be told apart are owned together.
                (old, []) => part.removed.is_member = !old.is_empty(),
                (old, new) => part.changed.is_member = old != new,
            }
            self.insert(part, || element.clone());
            Ok(())
        };
        removed_items.chain(&order).try_for_each(&mut part_of)
    }

    fn insert(&mut self, part: Self, element: impl Fn() -> PathElement) {
        if !part.changed.is_empty() {
            self.changed.insert(element(), part.changed);
        }
        if !part.removed.is_empty() {
            self.removed.insert(element(), part.removed);
        }
    }
}

/// Two lists without the equal items that both begin and end with, which is nearly all where one item changed.
fn without_common_ends<'a>(old: &'a [Value], new: &'a [Value]) -> (&'a [Value], &'a [Value]) {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[start..], &new[start..]);
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    (&old[..old.len() - end], &new[..new.len() - end])
}
