//! A version of an API group, and the errors about kinds that it does not have.

use serde_json::Value;

use crate::meta::excerpt;

/// The API that bodies must belong to.
#[derive(Clone, Copy, Debug)]
pub struct GroupVersion {
    /// The group alone.
    pub group: &'static str,
    /// Group and version, as in `apiVersion`.
    pub name: &'static str,
    /// The version alone.
    pub version: &'static str,
    /// The kinds of the version, but for their lists.
    pub kinds: &'static [&'static str],
}

impl GroupVersion {
    /// The sentence about a kind that a version of the group does not have.
    pub(crate) fn unknown_kind(&self, kind: &str, version: &str) -> String {
        let (kind, version) = (excerpt::of(kind), excerpt::of(version));
        format!("no kind {kind:?} is registered for version {version:?} in scheme {:?}", self.group)
    }

    /// Why a document that is to be of the kind `expected` cannot be read, going by what it says of itself. The core API's version is
    /// taken for that of the group, which was there once.
    pub(crate) fn kind_mismatch(&self, document: &Value, expected: &str) -> Option<String> {
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        let (kind, version) = (text("kind"), text("apiVersion"));
        let kind = if kind.is_empty() { expected } else { kind };
        if !["", "v1", self.name].contains(&version) {
            return Some(self.unknown_kind(kind, version));
        }
        match kind == expected {
            true => None,
            false if self.has_kind(kind) => Some(unknown_conversion(self.version, kind, expected)),
            false => Some(self.unknown_kind(kind, self.name)),
        }
    }

    /// Whether the version has a kind of this name, be it a list or one of those that every version has.
    pub(crate) fn has_kind(&self, kind: &str) -> bool {
        const COMMON: [&str; 7] = [
            "CreateOptions",
            "DeleteOptions",
            "GetOptions",
            "ListOptions",
            "PatchOptions",
            "UpdateOptions",
            "WatchEvent",
        ];
        COMMON.contains(&kind)
            || self.kinds.iter().any(|known| kind == *known || kind.strip_suffix("List") == Some(known))
    }
}

pub(crate) fn unknown_conversion(version: &str, kind: &str, expected: &str) -> String {
    let (version, kind) = (excerpt::of(version), excerpt::of(kind));
    format!("converting ({version}.{kind}) to (image.{expected}): unknown conversion")
}
