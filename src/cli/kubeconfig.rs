//! Kubeconfig files for a server on this machine.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

const NAME: &str = "imagestream-apiserver";

/// The content of a kubeconfig.
pub(super) struct Kubeconfig<'a> {
    /// The address of the server.
    pub(super) address: SocketAddr,
    /// The file with the certificate to trust.
    pub(super) certificate: &'a Path,
    /// The name of the user.
    pub(super) user: &'a str,
    /// The file with the user's token; none for a user without credentials.
    pub(super) token_file: Option<&'a Path>,
    /// The namespace of the context; none for the default.
    pub(super) namespace: Option<&'a str>,
}

impl Kubeconfig<'_> {
    /// Writes the file. Only its owner can read it.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_saphyr::to_string(&self.content());
        let text = text.context("cannot write the kubeconfig as YAML")?;
        write_private(path, &text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn content(&self) -> Value {
        let server = format!("https://{}", reachable(self.address));
        let user = match self.token_file {
            Some(file) => json!({"tokenFile": file}),
            None => json!({}),
        };
        let mut context = json!({"cluster": NAME, "user": self.user});
        if let Some(namespace) = self.namespace {
            context["namespace"] = namespace.into();
        }
        let cluster = json!({"server": server, "certificate-authority": self.certificate});
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": NAME, "cluster": cluster}],
            "users": [{"name": self.user, "user": user}],
            "contexts": [{"name": NAME, "context": context}],
            "current-context": NAME,
        })
    }
}

/// The address at which this machine reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Replaces a file atomically, with mode 0600.
pub(super) fn write_private(path: &Path, content: &str) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_this_machine() {
        for (address, reached) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.1:1", "192.0.2.1:1")]
        {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), reached);
        }
    }

    #[test]
    fn a_user_without_credentials_has_an_empty_entry() {
        let config = Kubeconfig {
            address: "127.0.0.1:1".parse().unwrap(),
            certificate: Path::new("/a/ca.crt"),
            user: "user",
            token_file: None,
            namespace: None,
        };
        let content = config.content();
        assert_eq!(content["users"][0], json!({"name": "user", "user": {}}));
        assert_eq!(content["contexts"][0]["context"], json!({"cluster": NAME, "user": "user"}));
    }
}
