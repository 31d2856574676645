//! `SharedList`: a list that clones share, such as the history of a tag in versions of a stream.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::nulls;

/// A list that clones share until one of them is changed, so that the edit of one tag of a large
/// stream copies the history of that tag only. They may also share the JSON of the list. An empty
/// list is `null` on the wire.
pub struct SharedList<T>(Arc<SharedItems<T>>);

struct SharedItems<T> {
    items: Vec<T>,
    /// JSON of the items, if it is kept.
    json: OnceLock<Box<RawValue>>,
}

impl<T> Clone for SharedList<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for SharedList<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: Clone> Clone for SharedItems<T> {
    /// Copies the items for a change, after which the JSON would be wrong.
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), json: OnceLock::new() }
    }
}

impl<T> SharedList<T> {
    /// Keeps the JSON of the list, so that it is encoded once for all clones. `encode` must write
    /// the items as the JSON of the API.
    pub fn keep_json(&self, encode: impl FnOnce(&[T]) -> Box<RawValue>) {
        if !self.0.items.is_empty() {
            self.0.json.get_or_init(|| encode(&self.0.items));
        }
    }

    /// Returns true if both are clones that nothing has changed since.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Deref for SharedList<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0.items
    }
}

impl<T: Clone> DerefMut for SharedList<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        let shared = Arc::make_mut(&mut self.0);
        shared.json.take();
        &mut shared.items
    }
}

impl<T> From<Vec<T>> for SharedList<T> {
    fn from(items: Vec<T>) -> Self {
        Self(Arc::new(SharedItems { items, json: OnceLock::new() }))
    }
}

impl<T> FromIterator<T> for SharedList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Vec::from_iter(items).into()
    }
}

impl<'a, T> IntoIterator for &'a SharedList<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Clone> IntoIterator for &'a mut SharedList<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<T: PartialEq> PartialEq for SharedList<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || **self == **other
    }
}

impl<T: PartialEq, const N: usize> PartialEq<[T; N]> for SharedList<T> {
    fn eq(&self, other: &[T; N]) -> bool {
        **self == *other
    }
}

impl<T: fmt::Debug> fmt::Debug for SharedList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: Serialize> Serialize for SharedList<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.json.get() {
            Some(json) => json.serialize(serializer),
            None => nulls::list(self, serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for SharedList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        nulls::or_empty::<Vec<T>, D>(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> SharedList<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    /// Keeps JSON that differs from that of the items, to see where it is used.
    fn keep(list: &SharedList<String>) {
        let json = RawValue::from_string(r#"["kept"]"#.into()).unwrap();
        list.keep_json(|_| json);
    }

    #[test]
    fn kept_json_is_written_by_all_clones_until_a_change() {
        let first = list(&["a"]);
        keep(&first);
        let mut second = first.clone();
        assert_eq!(serde_json::to_string(&second).unwrap(), r#"["kept"]"#);
        assert_eq!(serde_json::to_value(&second).unwrap(), serde_json::json!(["kept"]));
        second.truncate(1);
        assert_eq!(serde_json::to_string(&second).unwrap(), r#"["a"]"#);
        assert_eq!(serde_json::to_string(&first).unwrap(), r#"["kept"]"#);
    }

    #[test]
    fn change_of_the_only_owner_drops_kept_json() {
        let mut only = list(&["a"]);
        keep(&only);
        only[0] = "b".into();
        assert_eq!(serde_json::to_string(&only).unwrap(), r#"["b"]"#);
    }

    #[test]
    fn change_of_a_clone_leaves_the_other_as_it_was() {
        let first = list(&["a"]);
        let mut second = first.clone();
        assert!(first.is_shared_with(&second) && first == second);
        second.insert(0, String::new());
        assert!(!first.is_shared_with(&second) && first != second);
        assert_eq!(first, list(&["a"]), "equal lists need not be shared");
    }

    #[test]
    fn missing_items_are_null() {
        let none = list(&[]);
        keep(&none);
        assert_eq!(serde_json::to_string(&none).unwrap(), "null");
        assert_eq!(serde_json::from_str::<SharedList<String>>("null").unwrap(), none);
        assert_eq!(serde_json::from_str::<SharedList<String>>("[]").unwrap(), none);
    }
}
