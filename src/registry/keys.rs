//! Keys of objects in the store: `/<group>/<resource>/[<namespace>/]<name>`.

use crate::meta::GroupResource;
use crate::store::Key;

/// The key of an object; `namespace` is empty for cluster-scoped objects.
pub fn key(resource: GroupResource<'_>, namespace: &str, name: &str) -> Key {
    let mut key = prefix(resource, namespace, name.len());
    key.push_str(name);
    Key::new(key)
}

/// The prefix of the keys of a namespace, or of all objects of the resource, with capacity for
/// `more` bytes.
pub fn prefix(
    GroupResource { group, name }: GroupResource<'_>,
    namespace: &str,
    more: usize,
) -> String {
    let mut prefix = String::with_capacity(group.len() + name.len() + namespace.len() + more + 4);
    let end = if namespace.is_empty() { "" } else { "/" };
    prefix.extend(["/", group, "/", name, "/", namespace, end]);
    prefix
}

/// The keys that a range or a watch covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyMatch {
    /// The one key that equals the prefix.
    Exact,
    /// All keys that start with the prefix.
    Prefix,
}
