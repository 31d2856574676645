//! YAML with the semantics of `sigs.k8s.io/yaml`: a document becomes the JSON of its values.
//!
//! The rules are those of YAML 1.1 as `go.yaml.in/yaml/v2` reads it. That library is a port of
//! libyaml, and so is the one that parses here. The types of scalars, anchors, merge keys and the
//! conversion to JSON are in this module. Errors have the texts of the Go libraries.

mod decode;
mod float;
mod scalar;
mod tree;

use serde_json::Value;

use crate::meta::Limited;

/// A document as JSON.
#[derive(Clone, Debug, Default)]
pub(crate) struct YamlDocument {
    /// The value.
    pub(crate) value: Value,
    /// The keys that a mapping has more than once, as lines of an error of the strict decoder. The
    /// last value of such a key is used.
    pub(crate) duplicate_keys: Limited<String>,
}

/// Reads the first document of a body.
///
/// # Errors
/// The error of `sigs.k8s.io/yaml`. A document that is too deep, or becomes too large when its
/// aliases are expanded.
pub(crate) fn read(body: &[u8]) -> Result<YamlDocument, String> {
    let tree = tree::parse(body)?;
    decode::document(&tree, body.len())
}

#[cfg(test)]
mod tests;
