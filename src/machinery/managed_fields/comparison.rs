//! Comparison of two versions of an object, field by field. Takes about as long as an equality
//! check.

use serde_json::Value;

use super::field_set::FieldSet;
use super::granularity::{self, Granularity};
use super::path_element::PathElement;
use crate::machinery::schema::{ListType, Shape};

/// The fields in which two values differ (`typed.Comparison` in
/// `sigs.k8s.io/structured-merge-diff`).
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// New fields, and fields with another value.
    pub(super) changed: FieldSet,
    /// Removed fields.
    pub(super) removed: FieldSet,
}

/// Compares two objects of one shape.
///
/// # Errors
/// A sentence about a list item without a valid key.
pub(super) fn compare(shape: &Shape, old: &Value, new: &Value) -> Result<Comparison, String> {
    let mut all = Comparison::default();
    all.add(shape, Some(old), Some(new))?;
    Ok(all)
}

impl Comparison {
    /// Removes a field and everything below it from the comparison.
    pub(super) fn exclude(&mut self, name: &str) {
        let element = PathElement::Field(name.to_owned());
        self.changed.remove_part(&element);
        self.removed.remove_part(&element);
    }

    fn add(
        &mut self,
        shape: &Shape,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<(), String> {
        // `null` counts as an empty value of the other side's granularity.
        let granularity = |value: Option<&Value>, other: Option<&Value>| {
            value.map(|value| {
                Granularity::of(shape, if value.is_null() { other.unwrap_or(value) } else { value })
            })
        };
        match (granularity(old, new), granularity(new, old)) {
            // Only untyped values can change between object and scalar. All old fields are removed
            // and all new ones are added.
            (Some(Granularity::Object(_)), Some(Granularity::Atomic)) => {
                self.parts(shape, old, None)?;
                self.leaf(old, new);
            }
            (Some(Granularity::Atomic), Some(Granularity::Object(_))) => {
                self.leaf(old, new);
                self.parts(shape, None, new)?;
            }
            (_, Some(granularity)) | (Some(granularity), None) => {
                self.add_as(granularity, old, new)?
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn add_as(
        &mut self,
        granularity: Granularity<'_>,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<(), String> {
        let is_filled = |value: Option<&Value>| match granularity {
            Granularity::Atomic => false,
            Granularity::Object(_) => {
                granularity::fields(value).is_some_and(|fields| !fields.is_empty())
            }
            Granularity::List(..) => !granularity::list(value).is_empty(),
        };
        // An empty list or object has no parts that could have owners, so it has an owner itself.
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

    fn parts(
        &mut self,
        shape: &Shape,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<(), String> {
        let (old, new) = (granularity::fields(old), granularity::fields(new));
        let in_old = |name: &str| old.and_then(|fields| fields.get(name));
        let in_new = |name: &str| new.and_then(|fields| fields.get(name));
        let names = old.into_iter().flatten().map(|(name, _)| name);
        let more =
            new.into_iter().flatten().map(|(name, _)| name).filter(|name| in_old(name).is_none());
        for name in names.chain(more) {
            let mut part = Self::default();
            let shape = shape.value(name).unwrap_or(&Shape::Untyped);
            part.add(shape, in_old(name), in_new(name))?;
            self.insert(part, || PathElement::Field(name.clone()));
        }
        Ok(())
    }

    fn items(
        &mut self,
        list_type: &ListType,
        shape: &Shape,
        old: &[Value],
        new: &[Value],
    ) -> Result<(), String> {
        let (old, new) = without_common_ends(old, new);
        let ((_, old), (order, new)) =
            (granularity::items(old, list_type)?, granularity::items(new, list_type)?);
        let removed_items = old.keys().filter(|element| !new.contains_key(element));
        let none = Vec::new();
        let mut part_of = |element: &PathElement| -> Result<(), String> {
            let (old, new) = (old.get(element).unwrap_or(&none), new.get(element).unwrap_or(&none));
            let mut part = Self::default();
            match (&old[..], &new[..]) {
                ([], [new]) => part.add(shape, None, Some(new))?,
                ([old], []) => part.add(shape, Some(old), None)?,
                ([old], [new]) => part.add(shape, Some(old), Some(new))?,
                // Items with the same key are owned together.
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

/// Trims the equal items at both ends of two lists, which are most items after a typical change.
fn without_common_ends<'a>(old: &'a [Value], new: &'a [Value]) -> (&'a [Value], &'a [Value]) {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[start..], &new[start..]);
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    (&old[..old.len() - end], &new[..new.len() - end])
}
