//! The file that tells a program of Kubernetes where a server is and how to be somebody there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::objects::in_base64;
use crate::support::client::Identity;

/// Writes the file under a new name into a folder. The authority that the server's certificate comes from is PEM.
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
