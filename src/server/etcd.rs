//! Flags of the etcd store.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::meta::duration;
use crate::resources::openshift_layout::{self, StoredForm};
use crate::store::{Backend, EtcdCompaction, EtcdOptions, EtcdTls};

/// Flags of the etcd store, as of kube-apiserver.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
#[command(next_help_heading = "Storage in etcd")]
pub struct EtcdFlags {
    /// URLs of the members of etcd.
    ///
    /// Requests go to one of them, and to another one when it fails.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        required_if_eq("storage_backend", "etcd3"),
        conflicts_with = "data_dir"
    )]
    pub etcd_servers: Vec<String>,
    /// Layout of keys and values in etcd [default: native].
    #[arg(long, value_enum, value_name = "LAYOUT", requires = "etcd_servers")]
    pub storage_layout: Option<StorageLayout>,
    /// Prefix of all keys in etcd [default: /imagestream-apiserver].
    ///
    /// Only the replicas of one installation may write below it. With --storage-layout=openshift, the
    /// storagePrefix of openshift-apiserver [default: /openshift.io]; keys that only this server has
    /// lie below /imagestream-apiserver/shared then.
    #[arg(long, value_name = "PREFIX", requires = "etcd_servers")]
    pub etcd_prefix: Option<String>,
    /// CA bundle that verifies the members of etcd. Changes of the file are followed.
    #[arg(long, value_name = "FILE", requires = "etcd_servers")]
    pub etcd_cafile: Option<PathBuf>,
    /// Client certificate for etcd. Changes of the file are followed.
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// Key of --etcd-certfile.
    #[arg(long, value_name = "FILE", requires_all = ["etcd_certfile", "etcd_servers"])]
    pub etcd_keyfile: Option<PathBuf>,
    /// Time for a request to etcd, with its attempts on other members [default: 3s].
    #[arg(long, value_name = "DURATION", requires = "etcd_servers", value_parser = duration::positive)]
    pub etcd_request_timeout: Option<Duration>,
    /// Time without a response after which another member of etcd gets the request too [default: 300ms].
    #[arg(long, value_name = "DURATION", requires = "etcd_servers", value_parser = duration::positive)]
    pub etcd_attempt_timeout: Option<Duration>,
    /// Program that compacts etcd [default: external].
    ///
    /// Compaction removes old revisions of every key in etcd. With `own`, the flags --compaction-*
    /// apply; use it only if no other program has keys in this etcd.
    #[arg(long, value_enum, value_name = "PROGRAM", requires = "etcd_servers")]
    pub etcd_compaction: Option<EtcdCompaction>,
}

/// Layout of keys and values in etcd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StorageLayout {
    /// The layout of this server.
    #[default]
    Native,
    /// The layout of openshift-apiserver, which may run at the same time.
    #[value(name = "openshift")]
    OpenShift,
}

impl StorageLayout {
    /// The form of stored objects.
    pub fn stored_form(self) -> StoredForm {
        match self {
            Self::Native => StoredForm::Own,
            Self::OpenShift => StoredForm::OpenShift,
        }
    }

    /// Sets the keys of this layout, below `prefix` or the default one.
    pub fn set_keys(self, prefix: Option<String>, options: &mut EtcdOptions) {
        match self {
            Self::Native => {
                options.prefix = prefix.unwrap_or_else(|| EtcdOptions::DEFAULT_PREFIX.to_owned());
                options.shared = None;
            }
            Self::OpenShift => {
                let prefix = prefix.as_deref().unwrap_or(openshift_layout::DEFAULT_PREFIX);
                options.prefix = openshift_layout::own_prefix(prefix);
                options.shared = Some(openshift_layout::shared_keys(prefix));
            }
        }
    }
}

impl EtcdFlags {
    /// The form of stored objects.
    pub fn stored_form(&self) -> StoredForm {
        self.storage_layout.unwrap_or_default().stored_form()
    }

    /// The options of these flags.
    ///
    /// # Errors
    /// Flags of etcd are set for another backend.
    pub fn options(self, backend: Backend) -> anyhow::Result<EtcdOptions> {
        if backend != Backend::Etcd3 && !self.etcd_servers.is_empty() {
            anyhow::bail!(
                "--etcd-servers is not used by --storage-backend={}: set --storage-backend=etcd3, or remove the flags of etcd",
                backend.name()
            );
        }
        let mut defaults = EtcdOptions::new(self.etcd_servers);
        self.storage_layout.unwrap_or_default().set_keys(self.etcd_prefix, &mut defaults);
        Ok(EtcdOptions {
            tls: EtcdTls {
                ca: self.etcd_cafile,
                identity: self.etcd_certfile.zip(self.etcd_keyfile),
            },
            request_timeout: self.etcd_request_timeout.unwrap_or(defaults.request_timeout),
            attempt_timeout: self.etcd_attempt_timeout.unwrap_or(defaults.attempt_timeout),
            compaction: self.etcd_compaction.unwrap_or_default(),
            ..defaults
        })
    }
}
