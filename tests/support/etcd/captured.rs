//! Writes of openshift-apiserver to etcd, as they were captured.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// A write of openshift-apiserver, and the object as it was sent right after.
#[derive(Deserialize)]
pub(crate) struct Captured {
    pub(crate) key: String,
    /// The stored bytes in base64.
    pub(crate) value: String,
    pub(crate) object: Value,
}

/// The last captured write of each key.
pub(crate) fn captured() -> BTreeMap<String, Captured> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/etcd/values.jsonl");
    let text = fs::read_to_string(path).expect("the captured values can be read");
    let writes = text.lines().map(|line| {
        let write: Captured = serde_json::from_str(line).expect("a line is a captured write");
        (write.key.clone(), write)
    });
    writes.collect()
}
