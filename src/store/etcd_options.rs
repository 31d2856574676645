//! Parameters of an etcd store.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

/// Parameters of the etcd backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdOptions {
    /// URLs of the members, at least one.
    pub servers: Vec<String>,
    /// The prefix of all keys of this store, other than shared ones. Nothing else may write below
    /// it.
    pub prefix: String,
    /// Keys of the store that other programs write too; `None` if there are none.
    pub shared: Option<SharedKeys>,
    /// The files for TLS.
    pub tls: EtcdTls,
    /// The longest time for a read with all its attempts, and for one attempt of a write.
    pub request_timeout: Duration,
    /// The time after which a request that has no answer is also sent to another member.
    pub attempt_timeout: Duration,
    /// The owner of compaction.
    pub compaction: EtcdCompaction,
}

/// Keys of the store that other programs write too, at places of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedKeys {
    /// The first part of the keys in the store, such as `/image.openshift.io/`.
    pub store_prefix: String,
    /// The first part of the same keys in etcd, such as `/openshift.io/`.
    pub etcd_prefix: String,
    /// The second parts of the shared keys in ascending order, such as `images/`. Other keys between
    /// the first and the last of them are ignored.
    pub collections: Vec<String>,
}

/// Files for TLS connections to etcd. They are read again when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdTls {
    /// The CA bundle of the members; `None` for plain HTTP.
    pub ca: Option<PathBuf>,
    /// The certificate and the key of this client.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The owner of the compaction of an etcd cluster. Compaction concerns all keys of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EtcdCompaction {
    /// Something else compacts etcd, such as its flag --auto-compaction-retention or kube-apiserver.
    #[default]
    External,
    /// This server compacts etcd, in which every key is its own.
    Own,
}

impl EtcdOptions {
    /// The prefix of all keys unless another one is set.
    pub const DEFAULT_PREFIX: &str = "/imagestream-apiserver";

    /// Default options for these members.
    pub fn new(servers: Vec<String>) -> Self {
        Self {
            servers,
            prefix: Self::DEFAULT_PREFIX.to_owned(),
            shared: None,
            tls: EtcdTls::default(),
            request_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_millis(300),
            compaction: EtcdCompaction::default(),
        }
    }

    /// The prefix of the keys of objects, as the flag --etcd-prefix takes it.
    pub fn object_prefix(&self) -> &str {
        let prefix = self.shared.as_ref().map_or(&self.prefix, |shared| &shared.etcd_prefix);
        prefix.trim_end_matches('/')
    }

    /// Checks the options.
    ///
    /// # Errors
    /// The flag that is not valid, the reason and the remedy.
    pub fn check(&self) -> Result<(), String> {
        if self.servers.is_empty() {
            return Err("--etcd-servers is empty: name the URLs of the members".to_owned());
        }
        for server in &self.servers {
            let is_tls = server.starts_with("https://");
            if !is_tls && !server.starts_with("http://") {
                return Err(format!(
                    "--etcd-servers: {server:?} is no URL: use https://HOST:PORT or http://HOST:PORT"
                ));
            }
            if !is_tls && self.tls != EtcdTls::default() {
                return Err(format!(
                    "--etcd-servers: {server:?} does not use TLS, but --etcd-cafile or --etcd-certfile is set: use https://"
                ));
            }
        }
        let shared = self.shared.as_ref().map(|shared| &shared.etcd_prefix);
        for prefix in shared.into_iter().chain([&self.prefix]) {
            if !prefix.starts_with('/') || prefix.trim_end_matches('/').is_empty() {
                return Err(format!(
                    "--etcd-prefix: {prefix:?} must begin with a slash and name a folder, as {}",
                    Self::DEFAULT_PREFIX
                ));
            }
        }
        if let Some(shared) = &self.shared {
            if self.compaction == EtcdCompaction::Own {
                return Err(
                    "--etcd-compaction=own does not go with keys that another server shares: leave compaction to that server"
                        .to_owned(),
                );
            }
            let own = format!("{}/", self.prefix.trim_end_matches('/'));
            if shared.etcd_prefix.starts_with(&own) || own.starts_with(&shared.etcd_prefix) {
                return Err(format!(
                    "--etcd-prefix: the shared keys below {} and the other keys of this server below {own} must lie apart",
                    shared.etcd_prefix
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_options_name_their_flag() {
        let check = |servers: &[&str], prefix: &str, ca: Option<&str>| {
            let servers = servers.iter().map(|server| (*server).to_owned()).collect();
            let tls = EtcdTls { ca: ca.map(PathBuf::from), identity: None };
            EtcdOptions { prefix: prefix.to_owned(), tls, ..EtcdOptions::new(servers) }.check()
        };
        check(&["https://a:2379", "https://b:2379"], "/p", Some("ca.crt")).unwrap();
        check(&["http://a:2379"], "/p/", None).unwrap();
        for (servers, prefix, ca, flag) in [
            (&[][..], "/p", None, "--etcd-servers"),
            (&["a:2379"], "/p", None, "--etcd-servers"),
            (&["http://a:2379"], "/p", Some("ca.crt"), "--etcd-cafile"),
            (&["http://a:2379"], "p", None, "--etcd-prefix"),
            (&["http://a:2379"], "/", None, "--etcd-prefix"),
        ] {
            let reason = check(servers, prefix, ca).unwrap_err();
            assert!(reason.contains(flag), "{reason}");
        }
    }

    #[test]
    fn shared_keys_lie_apart_and_are_compacted_by_others() {
        let options = |etcd_prefix: &str, compaction| EtcdOptions {
            shared: Some(SharedKeys {
                store_prefix: "/group/".to_owned(),
                etcd_prefix: etcd_prefix.to_owned(),
                collections: vec!["images/".to_owned()],
            }),
            compaction,
            ..EtcdOptions::new(vec!["http://a:2379".to_owned()])
        };
        options("/openshift.io/", EtcdCompaction::External).check().unwrap();
        let reason = options("/openshift.io/", EtcdCompaction::Own).check().unwrap_err();
        assert!(reason.contains("--etcd-compaction"), "{reason}");
        for prefix in ["/imagestream-apiserver/", "/imagestream-apiserver/x/", "/"] {
            let reason = options(prefix, EtcdCompaction::External).check().unwrap_err();
            assert!(reason.contains("--etcd-prefix"), "{reason}");
        }
    }
}
