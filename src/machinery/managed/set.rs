//! Sets of fields, and their form in JSON, `FieldsV1`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use super::element::Element;
use crate::meta::{Limited, excerpt};

/// The fields of a value that belong to a set: the value itself, and those below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// Whether the value itself belongs to the set.
    pub(super) is_member: bool,
    /// What belongs to it below the value. No set in here is empty.
    below: BTreeMap<Element, Set>,
}

impl Set {
    /// The set of a value alone.
    pub(super) fn leaf() -> Self {
        Self { is_member: true, below: BTreeMap::new() }
    }

    /// Whether nothing belongs to the set.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_member && self.below.is_empty()
    }

    /// Whether something below the value belongs to the set.
    pub(super) fn has_parts(&self) -> bool {
        !self.below.is_empty()
    }

    /// What belongs to the set below one part of the value.
    pub(super) fn part(&self, element: &Element) -> Option<&Self> {
        self.below.get(element)
    }

    /// Adds what belongs to the set below one part of the value.
    pub(super) fn insert(&mut self, element: Element, part: Self) {
        if part.is_empty() {
            return;
        }
        match self.below.entry(element) {
            Entry::Vacant(place) => _ = place.insert(part),
            Entry::Occupied(place) => place.into_mut().add(part),
        }
    }

    /// Takes one part of the value out of the set, with all that is below.
    pub(super) fn drop_part(&mut self, element: &Element) {
        self.below.remove(element);
    }

    /// Adds all of another set.
    pub(super) fn add(&mut self, other: Self) {
        self.is_member |= other.is_member;
        if self.below.is_empty() {
            self.below = other.below;
            return;
        }
        for (element, part) in other.below {
            self.insert(element, part);
        }
    }

    /// Takes out all of another set. Costs `O(m log n)` for the smaller one of the two at each level, so that taking one set
    /// out of each of many costs no more than all of these together.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.is_member &= !other.is_member;
        if self.below.len() <= other.below.len() {
            self.below.retain(|element, part| {
                if let Some(other) = other.below.get(element) {
                    part.subtract(other);
                }
                !part.is_empty()
            });
            return;
        }
        for (element, other) in &other.below {
            if let Some(part) = self.below.get_mut(element) {
                part.subtract(other);
                if part.is_empty() {
                    self.below.remove(element);
                }
            }
        }
    }

    /// What belongs to both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self { is_member: self.is_member && other.is_member, below: BTreeMap::new() };
        let (few, many) = if self.below.len() < other.below.len() { (self, other) } else { (other, self) };
        for (element, part) in &few.below {
            if let Some(other) = many.below.get(element) {
                both.insert(element.clone(), part.intersection(other));
            }
        }
        both
    }

    /// The number of members below the value.
    pub(super) fn members(&self) -> usize {
        self.below.values().map(|part| usize::from(part.is_member) + part.members()).sum()
    }

    /// Excerpts of the paths of all that belongs to the set, those of each level before those below, until the list is
    /// full.
    pub(super) fn paths(&self) -> Limited<String> {
        let mut paths = Limited::default();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Limited<String>) {
        let members = self.below.iter().filter(|(_, part)| part.is_member);
        paths.extend(members.map(|(element, _)| excerpt::of(format_args!("{prefix}{element}"))));
        for (element, part) in self.below.iter().filter(|(_, part)| part.has_parts()) {
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
            set.insert(Element::parse(step)?, part);
        }
        Some(set)
    }

    /// The set as `FieldsV1`, sorted as the reference sorts.
    pub(super) fn written(&self) -> Value {
        let parts = self.below.iter().map(|(element, part)| (element.written(), part.written_part()));
        Value::Object(parts.collect())
    }

    fn written_part(&self) -> Value {
        let mut fields = Map::new();
        if self.is_member && self.has_parts() {
            fields.insert(".".into(), Value::Object(Map::new()));
        }
        fields.extend(self.below.iter().map(|(element, part)| (element.written(), part.written_part())));
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(fields: Value) -> Set {
        Set::read(&fields).unwrap()
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
        assert_eq!(set(serde_json::from_str(mixed).unwrap()).written().to_string(), sorted);
        assert_eq!(set(some()).written().to_string(), some().to_string());
    }

    #[test]
    fn what_is_no_set_is_not_read() {
        for fields in [json!([]), json!({"x": {}}), json!({"f:a": 1}), json!({"f:a": {"k:1": {}}})] {
            assert_eq!(Set::read(&fields), None, "{fields}");
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
        assert_eq!(left.written(), rest);
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
