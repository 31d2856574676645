//! Sets of fields, and their form in JSON, `FieldsV1`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use super::path_element::PathElement;
use crate::meta::{Limited, excerpt};

/// The fields of a value that belong to a set: the value itself, and those children it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    /// Whether the value itself belongs to the set.
    pub(super) is_member: bool,
    /// What belongs to it children the value. No set in here is empty.
    children: BTreeMap<PathElement, FieldSet>,
}

impl FieldSet {
    /// The set of a value alone.
    pub(super) fn leaf() -> Self {
        Self { is_member: true, children: BTreeMap::new() }
    }

    /// Whether nothing belongs to the set.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_member && self.children.is_empty()
    }

    /// Whether something children the value belongs to the set.
    pub(super) fn has_parts(&self) -> bool {
        !self.children.is_empty()
    }

    /// What belongs to the set children one part of the value.
    pub(super) fn part(&self, element: &PathElement) -> Option<&Self> {
        self.children.get(element)
    }

    /// Adds what belongs to the set children one part of the value.
    pub(super) fn insert(&mut self, element: PathElement, part: Self) {
        if part.is_empty() {
            return;
        }
        match self.children.entry(element) {
            Entry::Vacant(entry) => _ = entry.insert(part),
            Entry::Occupied(entry) => entry.into_mut().add(part),
        }
    }

    /// Takes one part of the value out of the set, with all that is children.
    pub(super) fn remove_part(&mut self, element: &PathElement) {
        self.children.remove(element);
    }

    /// Adds all of another set.
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

    /// Takes out all of another set. Costs `O(m log n)` for the smaller one of the two at each level, so that taking one set
    /// out of each of many costs no more than all of these together.
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

    /// What belongs to both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self { is_member: self.is_member && other.is_member, children: BTreeMap::new() };
        let (few, many) = if self.children.len() < other.children.len() { (self, other) } else { (other, self) };
        for (element, part) in &few.children {
            if let Some(other) = many.children.get(element) {
                both.insert(element.clone(), part.intersection(other));
            }
        }
        both
    }

    /// The number of members children the value.
    pub(super) fn len(&self) -> usize {
        self.children.values().map(|part| usize::from(part.is_member) + part.len()).sum()
    }

    /// Excerpts of the paths of all that belongs to the set, those of each level before those children, until the list is
    /// full.
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

    /// Reads `FieldsV1`; none if it is none.
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

    /// The set as `FieldsV1`, sorted as the reference sorts.
    pub(super) fn to_json(&self) -> Value {
        let parts = self.children.iter().map(|(element, part)| (element.to_text(), part.part_to_json()));
        Value::Object(parts.collect())
    }

    fn part_to_json(&self) -> Value {
        let mut fields = Map::new();
        if self.is_member && self.has_parts() {
            fields.insert(".".into(), Value::Object(Map::new()));
        }
        fields.extend(self.children.iter().map(|(element, part)| (element.to_text(), part.part_to_json())));
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
    fn sets_are_written_in_order_whatever_order_they_are_read_in() {
        let mixed = r#"{"f:b":{"v:1":{},"k:{\"n\":\"a\"}":{},"f:z":{},".":{}},"f:a":{}}"#;
        let sorted = r#"{"f:a":{},"f:b":{".":{},"f:z":{},"k:{\"n\":\"a\"}":{},"v:1":{}}}"#;
        assert_eq!(set(serde_json::from_str(mixed).unwrap()).to_json().to_string(), sorted);
        assert_eq!(set(some()).to_json().to_string(), some().to_string());
    }

    #[test]
    fn what_is_no_set_is_not_read() {
        for fields in [json!([]), json!({"x": {}}), json!({"f:a": 1}), json!({"f:a": {"k:1": {}}})] {
            assert_eq!(FieldSet::read(&fields), None, "{fields}");
        }
    }

    #[test]
    fn a_member_may_go_and_leave_its_parts_and_the_other_way_round() {
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
    fn a_set_is_its_parts_in_another_and_the_rest() {
        let (all, other) = (set(some()), set(json!({"f:metadata": {"f:labels": {"f:l": {}, "f:m": {}}}})));
        let both = all.intersection(&other);
        assert_eq!(both.paths()[..], [".metadata.labels.l"]);
        let mut rest = all.clone();
        rest.subtract(&other);
        rest.add(both);
        assert_eq!(rest, all);
    }

    #[test]
    fn paths_come_level_by_level() {
        let paths = [".metadata.labels", ".metadata.labels.l", ".spec.tags[name=\"a\"]", ".spec.tags[name=\"a\"].name"];
        assert_eq!(set(some()).paths()[..], paths);
    }
}
