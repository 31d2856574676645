//! `namespaces`: every valid name is a namespace, and a list has those that hold image streams.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::protobuf::NAMESPACE;
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::endpoints::table::{Column, Columns};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::selector::Selector;
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{GroupResource, Kind, ListMeta, Object, ObjectMeta, Status, is_dns_label};
use crate::registry::actor::Actor;
use crate::registry::list::object_stream::{ListPage, ObjectStream};
use crate::registry::object_ref::ObjectRef;
use crate::registry::options::{GetOptions, ListOptions};
use crate::registry::outcome::ReadResult;
use crate::registry::page::PageOptions;
use crate::registry::verbs::{Get, List, Scope};
use crate::registry::workload::Workload;
use crate::resources::Catalog;
use crate::store::{At, Revision};

/// The core group of Kubernetes.
pub const CORE: GroupVersion =
    GroupVersion { group: "", name: "v1", version: "v1", kinds: &["Namespace"] };

const RESOURCE: GroupResource<'static> = GroupResource { group: "", name: "namespaces" };

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    let handler = Arc::new(NamespaceHandler(catalog.clone()));
    Builder::new(CORE, "namespaces", Scope::Cluster)
        .names("namespace", &["ns"])
        .columns(&COLUMNS)
        .get(&handler)
        .list(&handler)
        .build()
}

const fn column(name: &'static str, format: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "string", format, description, priority: 0 }
}

static COLUMNS: Columns<Namespace> = Columns {
    definitions: &[
        column("Name", "name", "The name of the namespace."),
        column("Status", "", "The status of the namespace."),
    ],
    cells: |namespace, _| vec![json!(namespace.metadata.name), json!(namespace.status.phase)],
};

/// Namespace is a scope for names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "io.k8s.api.core.v1.Namespace")]
struct Namespace {
    /// Standard object metadata. Only the name is set.
    metadata: ObjectMeta,
    /// Spec is empty.
    spec: NamespaceSpec,
    /// Status is the state of the namespace.
    status: NamespaceStatus,
}

/// NamespaceSpec has no content on a server without a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "io.k8s.api.core.v1.NamespaceSpec")]
struct NamespaceSpec {}

/// NamespaceStatus is the state of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "io.k8s.api.core.v1.NamespaceStatus")]
struct NamespaceStatus {
    /// Phase is Active.
    phase: String,
}

impl Namespace {
    fn new(name: &str) -> Self {
        Self {
            metadata: ObjectMeta { name: name.into(), ..ObjectMeta::default() },
            spec: NamespaceSpec {},
            status: NamespaceStatus { phase: "Active".into() },
        }
    }
}

impl Object for Namespace {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Kind for Namespace {
    const KIND: &'static str = "Namespace";
    const MESSAGE: &'static MessageDescriptor = &NAMESPACE;
}

struct NamespaceHandler(Arc<Catalog>);

impl Get<Namespace> for NamespaceHandler {
    async fn get(
        &self,
        _: &Actor,
        at: &ObjectRef,
        _: &GetOptions,
    ) -> Result<ReadResult<Namespace>, Status> {
        match is_dns_label(at.name()) {
            true => Ok(ReadResult::Object(Box::new(Namespace::new(at.name())))),
            false => Err(Status::not_found(RESOURCE, at.name())),
        }
    }
}

impl List<Namespace> for NamespaceHandler {
    type Objects = UsedNamespaces;

    /// The whole list, whatever its limit: an item takes some 100 bytes.
    fn list(
        self: &Arc<Self>,
        actor: &Actor,
        _: &ObjectRef,
        _: Scope,
        options: &ListOptions,
    ) -> Result<ListPage<UsedNamespaces>, Status> {
        if options.watch {
            return Err(Status::not_watchable(RESOURCE));
        }
        let objects = UsedNamespaces {
            catalog: self.0.clone(),
            load: actor.load.clone(),
            selector: options.selector(&[])?,
            options: PageOptions { start: None, limit: 1, ..PageOptions::read(options)? },
            start: String::new(),
            revision: Revision(0),
        };
        Ok(ListPage { objects, limit: 0 })
    }
}

/// The namespaces that hold image streams, in the order of their keys. One stream of each is read.
#[derive(Clone)]
struct UsedNamespaces {
    catalog: Arc<Catalog>,
    load: Workload,
    selector: Selector,
    options: PageOptions,
    /// The smallest key of the next namespace.
    start: String,
    revision: Revision,
}

impl ObjectStream for UsedNamespaces {
    type Item = Namespace;

    async fn next(&mut self) -> Result<Option<Namespace>, Status> {
        loop {
            let entries = self.catalog.streams.entries("", Some(&self.start), self.options.clone());
            let mut entries = entries.charged_to(&self.load, |_, size| size as u64).limited_to(1);
            let entry = entries.next().await?;
            self.revision = entries.revision();
            self.options.at = At::Revision(self.revision);
            let Some(entry) = entry else { return Ok(None) };
            let key = entry.key.as_str().strip_prefix(entries.prefix()).unwrap_or_default();
            let name = key.split('/').next().unwrap_or_default();
            self.start = format!("{name}{AFTER_SLASH}");
            let namespace = Namespace::new(name);
            if self.selector.selects(&namespace.metadata, |_| String::new()) {
                return Ok(Some(namespace));
            }
        }
    }

    fn metadata(&self) -> ListMeta {
        ListMeta { resource_version: self.revision.to_string(), ..ListMeta::default() }
    }

    fn continue_token(&self) -> Option<String> {
        None
    }
}

/// The character after the slash, which follows all keys of a namespace.
const AFTER_SLASH: char = '0';
