//! Parts of rules by the namespace and the name of their objects.

use std::collections::BTreeMap;

/// Parts of rules by the namespace and the name of their objects.
#[derive(Clone, Debug)]
pub(super) struct ByNamespace<T>(BTreeMap<String, BTreeMap<String, T>>);

impl<T> Default for ByNamespace<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: PartialEq> ByNamespace<T> {
    /// Returns true if no namespace has a part.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if a namespace has a part.
    pub(super) fn has(&self, namespace: &str) -> bool {
        self.0.contains_key(namespace)
    }

    /// Parts of a namespace, by the names of their objects.
    pub(super) fn of(&self, namespace: &str) -> impl Iterator<Item = (&String, &T)> {
        self.0.get(namespace).into_iter().flatten()
    }

    /// All parts, by namespace and name.
    pub(super) fn all(&self) -> impl Iterator<Item = ((&String, &String), &T)> {
        self.0.iter().flat_map(|(namespace, parts)| {
            parts.iter().map(move |(name, part)| ((namespace, name), part))
        })
    }

    /// Sets the part of an object; `None` if it has none. Returns true if something changed.
    pub(super) fn set(&mut self, namespace: String, name: String, part: Option<T>) -> bool {
        let Some(part) = part else { return self.remove(&namespace, &name) };
        let parts = self.0.entry(namespace).or_default();
        parts.get(&name) != Some(&part) && {
            parts.insert(name, part);
            true
        }
    }

    /// Removes the part of an object. Returns true if it had one.
    pub(super) fn remove(&mut self, namespace: &str, name: &str) -> bool {
        let Some(parts) = self.0.get_mut(namespace) else { return false };
        let is_known = parts.remove(name).is_some();
        if parts.is_empty() {
            self.0.remove(namespace);
        }
        is_known
    }
}
