//! Kubeconfig files for the programs of a test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::objects::in_base64;
use crate::support::client::Identity;

/// Writes a kubeconfig under a new name into a folder. `authority` is the PEM certificate authority
/// of the server.
pub(crate) fn write(
    folder: &Path,
    server: &str,
    authority: &str,
    identity: &Identity,
) -> Result<PathBuf> {
    let (_, path) = tempfile::Builder::new().prefix("kubeconfig-").tempfile_in(folder)?.keep()?;
    fs::write(&path, content(server, authority, identity).to_string())?;
    Ok(path)
}

fn content(server: &str, authority: &str, identity: &Identity) -> Value {
    let mut user = json!({});
    if let Some((certificate, key)) = &identity.certificate {
        user["client-certificate-data"] = in_base64(certificate).into();
        user["client-key-data"] = in_base64(key).into();
    }
    if let Some(token) = &identity.token {
        user["token"] = token.as_str().into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {
            "server": server, "certificate-authority-data": in_base64(authority)}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    })
}
