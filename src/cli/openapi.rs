//! `openapi`: writes the OpenAPI documents that the server embeds, after a change of the API.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use crate::auth::Authorizer;
use crate::cluster::{Namespaces, Secrets};
use crate::domain::registries::Registries;
use crate::domain::tag_history::MaxTagHistory;
use crate::endpoints::openapi::{self, OpenApiVersion};
use crate::endpoints::serve::Api;
use crate::oci::{self, PullTimeouts, RegistryClient};
use crate::registry::permission::Permissions;
use crate::resources::catalog::StorageLimits;
use crate::resources::import::{self, ImageImporter};
use crate::resources::{self, API, Catalog};
use crate::store;
use crate::telemetry::import_metrics::ImportMetrics;

/// Flags of `openapi`.
#[derive(Debug, Args)]
pub(super) struct OpenapiCommand {
    /// Folder for v2.json, v2.pb, v3.json and v3-group.json.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl OpenapiCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        write(&self.folder, &api()?)
    }
}

fn api() -> anyhow::Result<Api> {
    // The resources need a store, but the documents do not depend on its content.
    let store = store::in_memory()?.store;
    let limits = StorageLimits {
        streams_per_namespace: None,
        object_bytes: 0,
        tag_history: MaxTagHistory::default(),
        ..StorageLimits::default()
    };
    let catalog = Arc::new(Catalog::new(&store, Registries::default(), &limits));
    let permissions = Permissions::new(Arc::new(Authorizer::AlwaysAllow));
    let client = RegistryClient::new(
        &oci::Options::default(),
        PullTimeouts::default(),
        ImportMetrics::default(),
    )?;
    let importer = ImageImporter::new(client, Secrets::none(), &import::Options::default());
    let (namespaces, secrets) = (Namespaces::all(), Secrets::none());
    Ok(resources::all(&catalog, namespaces, secrets, Arc::new(importer), permissions))
}

fn write(folder: &Path, api: &Api) -> anyhow::Result<()> {
    let [v2, v3] = [OpenApiVersion::V2, OpenApiVersion::V3]
        .map(|version| openapi::document(version, API, api.endpoints()));
    let files = [
        ("v2.json", openapi::encode(&v2)),
        ("v2.pb", openapi::encode_protobuf(&v2)?),
        ("v3.json", openapi::encode(&v3)),
        ("v3-group.json", openapi::encode(&openapi::group_document(API))),
    ];
    for (name, content) in files {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
