//! A version of an API group, and the errors for kinds that it does not have.

use serde_json::Value;

use crate::meta::excerpt;

/// An API group in one version, with its kinds.
#[derive(Clone, Copy, Debug)]
pub struct GroupVersion {
    /// The group, for example `image.openshift.io`.
    pub group: &'static str,
    /// Group and version as in `apiVersion`, for example `image.openshift.io/v1`.
    pub name: &'static str,
    /// The version, for example `v1`.
    pub version: &'static str,
    /// The kinds of this version without their list kinds.
    pub kinds: &'static [&'static str],
}

impl GroupVersion {
    /// Error for a kind that a version of the group does not have (`notRegisteredErr.Error` in
    /// `k8s.io/apimachinery/pkg/runtime/error.go`).
    pub(crate) fn unknown_kind(&self, kind: &str, version: &str) -> String {
        let (kind, version) = (excerpt::of(kind), excerpt::of(version));
        format!("no kind {kind:?} is registered for version {version:?} in scheme {:?}", self.group)
    }

    /// Error for a document whose `kind` or `apiVersion` does not match `expected`; none if both
    /// match or are absent. `apiVersion: v1` is accepted: OpenShift once served these kinds in the
    /// core group.
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

    /// Returns true for kinds of this version, their lists, and the option kinds of every version.
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
            || self
                .kinds
                .iter()
                .any(|known| kind == *known || kind.strip_suffix("List") == Some(known))
    }
}

pub(crate) fn unknown_conversion(version: &str, kind: &str, expected: &str) -> String {
    let (version, kind) = (excerpt::of(version), excerpt::of(kind));
    format!("converting ({version}.{kind}) to (image.{expected}): unknown conversion")
}
