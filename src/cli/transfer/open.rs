//! Opens the places of a transfer.

use anyhow::{Context, bail};

use super::place::TransferPlace;
use crate::cli::store::open_etcd;
use crate::cluster;
use crate::meta::Time;
use crate::resources::import_export::ImportMode;
use crate::resources::openshift_layout::StoredForm;
use crate::resources::transfer::{ApiEndpoint, StoreEndpoint, TransferEndpoint};
use crate::store::{self, EtcdOptions, OpenError, OpenOptions, Opened, Reserve};

impl TransferPlace {
    /// Opens the place to read its objects.
    ///
    /// # Errors
    /// The place cannot be read, with the way out.
    pub(super) async fn source(&self) -> anyhow::Result<Box<dyn TransferEndpoint>> {
        match self {
            Self::Folder(folder) => {
                self.own_store(unlocked(store::maintenance(folder).open_read_only())?)
            }
            Self::Etcd(options, layout) => {
                self.store(self.existing_etcd(options).await?, layout.stored_form())
            }
            Self::Cluster { .. } => self.api("--from").await,
        }
    }

    /// Opens the place to write objects. A dry run creates no folder.
    ///
    /// # Errors
    /// The place cannot be opened, with the way out.
    pub(super) async fn target(
        &self,
        mode: ImportMode,
    ) -> anyhow::Result<Box<dyn TransferEndpoint>> {
        match self {
            Self::Folder(folder) if mode == ImportMode::DryRun => {
                let maintenance = store::maintenance(folder);
                let opened = match maintenance.exists()? {
                    true => unlocked(maintenance.open_read_only())?,
                    false => store::in_memory()?,
                };
                self.own_store(opened)
            }
            Self::Folder(folder) => {
                let reserve = Some(Reserve::default());
                let options = OpenOptions { reserve, ..OpenOptions::new(folder) };
                self.own_store(unlocked(store::open(options))?)
            }
            Self::Etcd(options, layout) => {
                self.store(self.etcd(options).await?, layout.stored_form())
            }
            Self::Cluster { .. } => self.api("--to").await,
        }
    }

    fn own_store(&self, opened: Opened) -> anyhow::Result<Box<dyn TransferEndpoint>> {
        self.store(opened, StoredForm::Own)
    }

    fn store(
        &self,
        opened: Opened,
        stored_form: StoredForm,
    ) -> anyhow::Result<Box<dyn TransferEndpoint>> {
        Ok(Box::new(StoreEndpoint::new(self.to_string(), opened, stored_form, Time::now())))
    }

    async fn existing_etcd(&self, options: &EtcdOptions) -> anyhow::Result<Opened> {
        self.require_etcd()?;
        if !store::etcd_store_exists(options).await? {
            bail!("{self} has no store: name another prefix or layout");
        }
        self.etcd(options).await
    }

    async fn etcd(&self, options: &EtcdOptions) -> anyhow::Result<Opened> {
        self.require_etcd()?;
        open_etcd(options.clone()).await
    }

    fn require_etcd(&self) -> anyhow::Result<()> {
        if cfg!(feature = "etcd") {
            return Ok(());
        }
        bail!(
            "{self}: this program was built without etcd: build it with \
             `cargo build --release --features etcd`, or use the image"
        )
    }

    async fn api(&self, flag: &'static str) -> anyhow::Result<Box<dyn TransferEndpoint>> {
        let Self::Cluster { kubeconfig, context } = self else {
            bail!("{self} is no cluster");
        };
        let (client, address) = cluster::client_of(flag, kubeconfig, context.clone())
            .await
            .with_context(|| format!("{self} cannot be used"))?;
        Ok(Box::new(ApiEndpoint::new(format!("API at {address}"), client)))
    }
}

/// Replaces the error for a folder in use.
fn unlocked(opened: Result<Opened, OpenError>) -> anyhow::Result<Opened> {
    match opened {
        Err(OpenError::InUse { dir, .. }) => bail!(
            "a server is running on {}: stop it first, or name its API with kubeconfig:FILE",
            dir.display()
        ),
        other => Ok(other?),
    }
}
