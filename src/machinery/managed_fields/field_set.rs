//! Sets of fields and their JSON representation, `FieldsV1` (`fieldpath.Set` in
//! `sigs.k8s.io/structured-merge-diff`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use super::granularity::{self, Granularity};
use super::path_element::PathElement;
use crate::machinery::schema::Shape;
use crate::meta::{Limited, excerpt};

/// A set of fields: a value and the fields below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    /// The value itself is a member.
    pub(super) is_member: bool,
    /// Members below the value, by the first element of their path. None of these sets is empty.
    children: BTreeMap<PathElement, FieldSet>,
}

impl FieldSet {
    /// The fields of a value that its applier owns (`TypedValue.ToFieldSet`).
    ///
    /// # Errors
    /// A sentence about a list item without a valid key.
    pub(super) fn of(shape: &Shape, value: &Value) -> Result<Self, String> {
        let mut set = Self::default();
        match Granularity::of(shape, value) {
            Granularity::Atomic => set.is_member = true,
            Granularity::Object(shape) => {
                for (name, value) in granularity::fields(Some(value)).into_iter().flatten() {
                    let mut part = Self::of(shape.value(name).unwrap_or(&Shape::Untyped), value)?;
                    let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                    part.is_member |= is_empty || shape.field(name).is_none();
                    set.insert(PathElement::Field(name.clone()), part);
                }
            }
            Granularity::List(list_type, shape) => {
                for item in granularity::list(Some(value)) {
                    let mut part = Self::of(shape, item)?;
                    part.is_member = true;
                    set.insert(granularity::element(item, list_type)?, part);
                }
            }
        }
        Ok(set)
    }

    /// The set that has only the value itself.
    pub(super) fn leaf() -> Self {
        Self { is_member: true, children: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_member && self.children.is_empty()
    }

    /// Returns true if the set has members below the value.
    pub(super) fn has_parts(&self) -> bool {
        !self.children.is_empty()
    }

    /// The members below one element.
    pub(super) fn part(&self, element: &PathElement) -> Option<&Self> {
        self.children.get(element)
    }

    /// Adds members below one element.
    pub(super) fn insert(&mut self, element: PathElement, part: Self) {
        if part.is_empty() {
            return;
        }
        match self.children.entry(element) {
            Entry::Vacant(entry) => _ = entry.insert(part),
            Entry::Occupied(entry) => entry.into_mut().add(part),
        }
    }

    /// Removes an element with all members below it.
    pub(super) fn remove_part(&mut self, element: &PathElement) {
        self.children.remove(element);
    }

    /// Adds all members of another set.
    pub(super) fn add(&mut self, other: Self) {
        self.is_member |= other.is_member;
        if self.children.is_empty() {
            self.children = other.children;
            return;
        }
        for (element, part) in other.children {
            self.insert(element, part);
        }
    }

    /// Removes all members of another set. Takes `O(m log n)` steps at each level, with m and n the
    /// sizes of the smaller and the larger set. So subtracting one set from each of many takes no
    /// more than the sum of their sizes.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.is_member &= !other.is_member;
        if self.children.len() <= other.children.len() {
            self.children.retain(|element, part| {
                if let Some(other) = other.children.get(element) {
                    part.subtract(other);
                }
                !part.is_empty()
            });
            return;
        }
        for (element, other) in &other.children {
            if let Some(part) = self.children.get_mut(element) {
                part.subtract(other);
                if part.is_empty() {
                    self.children.remove(element);
                }
            }
        }
    }

    /// The common members of both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut both =
            Self { is_member: self.is_member && other.is_member, children: BTreeMap::new() };
        let (few, many) =
            if self.children.len() < other.children.len() { (self, other) } else { (other, self) };
        for (element, part) in &few.children {
            if let Some(other) = many.children.get(element) {
                both.insert(element.clone(), part.intersection(other));
            }
        }
        both
    }

    /// Number of members below the value.
    pub(super) fn len(&self) -> usize {
        self.children.values().map(|part| usize::from(part.is_member) + part.len()).sum()
    }

    /// Excerpts of the paths of all members, level by level, up to the limit of the list.
    pub(super) fn paths(&self) -> Limited<String> {
        let mut paths = Limited::default();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Limited<String>) {
        let members = self.children.iter().filter(|(_, part)| part.is_member);
        paths.extend(members.map(|(element, _)| excerpt::of(format_args!("{prefix}{element}"))));
        for (element, part) in self.children.iter().filter(|(_, part)| part.has_parts()) {
            if paths.is_cut() {
                return;
            }
            part.collect_paths(&excerpt::of(format_args!("{prefix}{element}")), paths);
        }
    }

    /// Parses `FieldsV1`; none if it is invalid.
    pub(super) fn read(fields: &Value) -> Option<Self> {
        let mut set = Self::default();
        for (step, part) in fields.as_object()? {
            if step == "." {
                set.is_member = true;
                continue;
            }
            let mut part = Self::read(part)?;
            part.is_member |= !part.has_parts();
            set.insert(PathElement::parse(step)?, part);
        }
        Some(set)
    }

    /// Encodes the set as `FieldsV1`, in the order of `Set.ToJSON`.
    pub(super) fn to_json(&self) -> Value {
        let parts =
            self.children.iter().map(|(element, part)| (element.to_text(), part.part_to_json()));
        Value::Object(parts.collect())
    }

    fn part_to_json(&self) -> Value {
        let mut fields = Map::new();
        if self.is_member && self.has_parts() {
            fields.insert(".".into(), Value::Object(Map::new()));
        }
        fields.extend(
            self.children.iter().map(|(element, part)| (element.to_text(), part.part_to_json())),
        );
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(fields: Value) -> FieldSet {
        FieldSet::read(&fields).unwrap()
    }

    fn some() -> Value {
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
            "f:spec": {"f:tags": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}}}},
        })
    }

    #[test]
    fn sets_are_sorted_when_encoded() {
        let mixed = r#"{"f:b":{"v:1":{},"k:{\"n\":\"a\"}":{},"f:z":{},".":{}},"f:a":{}}"#;
        let sorted = r#"{"f:a":{},"f:b":{".":{},"f:z":{},"k:{\"n\":\"a\"}":{},"v:1":{}}}"#;
        assert_eq!(set(serde_json::from_str(mixed).unwrap()).to_json().to_string(), sorted);
        assert_eq!(set(some()).to_json().to_string(), some().to_string());
    }

    #[test]
    fn invalid_sets_are_rejected() {
        for fields in [json!([]), json!({"x": {}}), json!({"f:a": 1}), json!({"f:a": {"k:1": {}}})]
        {
            assert_eq!(FieldSet::read(&fields), None, "{fields}");
        }
    }

    #[test]
    fn subtracting_a_member_keeps_its_parts() {
        let mut left = set(some());
        left.subtract(&set(
            json!({"f:metadata": {"f:labels": {"f:l": {}}}, "f:spec": {"f:tags": {"k:{\"name\":\"a\"}": {}}}}),
        ));
        let rest = json!({
            "f:metadata": {"f:labels": {}},
            "f:spec": {"f:tags": {"k:{\"name\":\"a\"}": {"f:name": {}}}},
        });
        assert_eq!(left.to_json(), rest);
    }

    #[test]
    fn intersection_and_difference_make_the_whole_set() {
        let (all, other) =
            (set(some()), set(json!({"f:metadata": {"f:labels": {"f:l": {}, "f:m": {}}}})));
        let both = all.intersection(&other);
        assert_eq!(both.paths()[..], [".metadata.labels.l"]);
        let mut rest = all.clone();
        rest.subtract(&other);
        rest.add(both);
        assert_eq!(rest, all);
    }

    #[test]
    fn paths_are_ordered_by_level() {
        let paths = [
            ".metadata.labels",
            ".metadata.labels.l",
            ".spec.tags[name=\"a\"]",
            ".spec.tags[name=\"a\"].name",
        ];
        assert_eq!(set(some()).paths()[..], paths);
    }
}
