//! The manifests as kustomize builds them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The folder of the manifests.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}

/// The folders of all overlays with the registration.
pub(crate) fn registered() -> Vec<PathBuf> {
    let folders = fs::read_dir(folder().join("registered")).expect("the folder can be listed");
    let mut folders: Vec<PathBuf> =
        folders.map(|entry| entry.expect("the folder can be listed").path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no overlay found");
    folders
}

/// The objects of the kustomization in `folder`.
pub(crate) fn build(kubectl: &Path, folder: &Path) -> Vec<Value> {
    let output =
        Command::new(kubectl).arg("kustomize").arg(folder).output().expect("kubectl can be run");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "kubectl kustomize {}: {complaints}",
        folder.display()
    );
    let text = std::str::from_utf8(&output.stdout).expect("kubectl writes text");
    serde_saphyr::from_multiple(text).expect("kubectl kustomize writes YAML")
}
