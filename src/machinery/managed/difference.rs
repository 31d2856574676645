//! What changed from one form of an object to another, field by field. Costs about as much as comparing the two.

use serde_json::Value;

use super::element::Element;
use super::form::{self, Form};
use super::set::Set;
use crate::machinery::schema::{ListType, Shape};

/// The fields in which two values differ.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Fields that are new or have another value.
    pub(super) changed: Set,
    /// Fields that are there no more.
    pub(super) removed: Set,
}

/// The difference between two objects of one shape.
///
/// # Errors
/// A sentence about an item of a list that cannot be told from others.
pub(super) fn difference(shape: &Shape, old: &Value, new: &Value) -> Result<Difference, String> {
    let mut all = Difference::default();
    all.compare(shape, Some(old), Some(new))?;
    Ok(all)
}

impl Difference {
    /// Takes a field of the object out of the difference, with all that is below.
    pub(super) fn ignore(&mut self, name: &str) {
        let element = Element::Field(name.to_owned());
        self.changed.drop_part(&element);
        self.removed.drop_part(&element);
    }

    fn compare(&mut self, shape: &Shape, old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
        // Nothing is an empty value of whatever form the other has.
        let form = |value: Option<&Value>, other: Option<&Value>| {
            value.map(|value| Form::of(shape, if value.is_null() { other.unwrap_or(value) } else { value }))
        };
        match (form(old, new), form(new, old)) {
            // What may be anything may have become another thing: all that was goes, and all that is comes.
            (Some(Form::Object(_)), Some(Form::Leaf)) => {
                self.parts(shape, old, None)?;
                self.leaf(old, new);
            }
            (Some(Form::Leaf), Some(Form::Object(_))) => {
                self.leaf(old, new);
                self.parts(shape, None, new)?;
            }
            (_, Some(form)) | (Some(form), None) => self.compare_as(form, old, new)?,
            (None, None) => {}
        }
        Ok(())
    }

    fn compare_as(&mut self, form: Form<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
        let is_filled = |value: Option<&Value>| match form {
            Form::Leaf => false,
            Form::Object(_) => form::fields(value).is_some_and(|fields| !fields.is_empty()),
            Form::List(..) => !form::list(value).is_empty(),
        };
        // An empty list or object has no parts, so that it is owned itself.
        if !is_filled(old) && !is_filled(new) {
            self.leaf(old, new);
            return Ok(());
        }
        match form {
            Form::Leaf => {}
            Form::Object(shape) => self.parts(shape, old, new)?,
            Form::List(list_type, shape) => self.items(list_type, shape, form::list(old), form::list(new))?,
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
        let (old, new) = (form::fields(old), form::fields(new));
        let in_old = |name: &str| old.and_then(|fields| fields.get(name));
        let in_new = |name: &str| new.and_then(|fields| fields.get(name));
        let names = old.into_iter().flatten().map(|(name, _)| name);
        let more = new.into_iter().flatten().map(|(name, _)| name).filter(|name| in_old(name).is_none());
        for name in names.chain(more) {
            let mut part = Self::default();
            let shape = shape.value(name).unwrap_or(&Shape::Untyped);
            part.compare(shape, in_old(name), in_new(name))?;
            self.insert(part, || Element::Field(name.clone()));
        }
        Ok(())
    }

    fn items(&mut self, list_type: &ListType, shape: &Shape, old: &[Value], new: &[Value]) -> Result<(), String> {
        let (old, new) = without_common_ends(old, new);
        let ((_, old), (order, new)) = (form::items(old, list_type)?, form::items(new, list_type)?);
        let gone = old.keys().filter(|element| !new.contains_key(element));
        let none = Vec::new();
        let mut part_of = |element: &Element| -> Result<(), String> {
            let (old, new) = (old.get(element).unwrap_or(&none), new.get(element).unwrap_or(&none));
            let mut part = Self::default();
            match (&old[..], &new[..]) {
                ([], [new]) => part.compare(shape, None, Some(new))?,
                ([old], []) => part.compare(shape, Some(old), None)?,
                ([old], [new]) => part.compare(shape, Some(old), Some(new))?,
                // Items that cannot be told apart are owned together.
                (old, []) => part.removed.is_member = !old.is_empty(),
                (old, new) => part.changed.is_member = old != new,
            }
            self.insert(part, || element.clone());
            Ok(())
        };
        gone.chain(&order).try_for_each(&mut part_of)
    }

    fn insert(&mut self, part: Self, element: impl Fn() -> Element) {
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
