//! Discovery documents, aggregated and unaggregated.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::endpoints::endpoint::Endpoint;
use crate::endpoints::verb::Verb;
use crate::machinery::group_version::GroupVersion;
use crate::registry::verbs::Scope;

/// APIResourceList is the list of the resources of an API version, served at
/// `/apis/GROUP/VERSION`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList")]
#[serde(rename_all = "camelCase")]
pub struct ApiResourceList {
    kind: &'static str,
    api_version: &'static str,
    group_version: &'static str,
    resources: Vec<ApiResource>,
}

/// APIResource is a resource or subresource.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResource")]
#[serde(rename_all = "camelCase")]
struct ApiResource {
    name: String,
    singular_name: &'static str,
    namespaced: bool,
    kind: &'static str,
    verbs: Vec<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    short_names: &'static [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'static [&'static str],
    #[serde(skip_serializing_if = "String::is_empty")]
    storage_version_hash: String,
}

/// APIGroup is an API group and its versions, served at `/apis/GROUP`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup")]
#[serde(rename_all = "camelCase")]
pub struct ApiGroup {
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    api_version: &'static str,
    name: &'static str,
    versions: [GroupVersionForDiscovery; 1],
    preferred_version: GroupVersionForDiscovery,
}

/// GroupVersionForDiscovery is a version of an API group.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "io.k8s.apimachinery.pkg.apis.meta.v1.GroupVersionForDiscovery")]
#[serde(rename_all = "camelCase")]
struct GroupVersionForDiscovery {
    group_version: &'static str,
    version: &'static str,
}

/// The API groups, served at `/apis`. Without `apiVersion`, as `NewRootAPIsHandler` in
/// k8s.io/apiserver/pkg/endpoints/discovery/root.go, for old clients.
#[derive(Debug, Serialize)]
pub struct ApiGroupList {
    kind: &'static str,
    groups: [ApiGroup; 1],
}

/// APIVersions lists the versions of the core group, served at `/api`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiVersions {
    kind: &'static str,
    versions: [&'static str; 1],
    #[serde(rename = "serverAddressByClientCIDRs")]
    server_address_by_client_cidrs: [(); 0],
}

/// Aggregated discovery, served at `/apis` (KEP-3352).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiGroupDiscoveryList {
    kind: &'static str,
    api_version: &'static str,
    metadata: EmptyMeta,
    items: [ApiGroupDiscovery; 1],
}

#[derive(Debug, Serialize)]
struct EmptyMeta {}

#[derive(Debug, Serialize)]
struct ApiGroupDiscovery {
    metadata: GroupMeta,
    versions: [ApiVersionDiscovery; 1],
}

#[derive(Debug, Serialize)]
struct GroupMeta {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'static str,
}

#[derive(Debug, Serialize)]
struct ApiVersionDiscovery {
    version: &'static str,
    resources: Vec<ApiResourceDiscovery>,
    freshness: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiResourceDiscovery {
    resource: &'static str,
    response_kind: ResponseKind,
    scope: &'static str,
    singular_resource: &'static str,
    verbs: Vec<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    short_names: &'static [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'static [&'static str],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subresources: Vec<ApiSubresourceDiscovery>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiSubresourceDiscovery {
    subresource: &'static str,
    response_kind: ResponseKind,
    verbs: Vec<&'static str>,
}

/// The kind of a resource. Empty group and version stand for those of the enclosing document.
#[derive(Debug, Serialize)]
struct ResponseKind {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
}

/// The resources of an API version, sorted by name.
pub fn resources(api: GroupVersion, endpoints: &[Endpoint]) -> ApiResourceList {
    let mut resources: Vec<ApiResource> =
        endpoints.iter().map(|endpoint| resource(api, endpoint)).collect();
    resources.sort_by(|a, b| a.name.cmp(&b.name));
    ApiResourceList {
        kind: "APIResourceList",
        api_version: "v1",
        group_version: api.name,
        resources,
    }
}

/// The API group.
pub fn group(api: GroupVersion, name: &'static str) -> ApiGroup {
    ApiGroup { kind: "APIGroup", api_version: "v1", ..group_without_type_meta(api, name) }
}

/// The list of API groups, which has one item.
pub fn groups(api: GroupVersion, name: &'static str) -> ApiGroupList {
    ApiGroupList { kind: "APIGroupList", groups: [group_without_type_meta(api, name)] }
}

/// The versions of the core group.
pub fn core_versions(api: GroupVersion) -> ApiVersions {
    ApiVersions { kind: "APIVersions", versions: [api.version], server_address_by_client_cidrs: [] }
}

/// The aggregated discovery document of a group, whose name is empty for the core group.
pub fn aggregated(
    api: GroupVersion,
    group: &'static str,
    endpoints: &[Endpoint],
) -> ApiGroupDiscoveryList {
    let mut objects: Vec<&Endpoint> =
        endpoints.iter().filter(|endpoint| endpoint.subresource.is_none()).collect();
    objects.sort_by_key(|endpoint| endpoint.resource);
    let resources =
        objects.into_iter().map(|endpoint| aggregated_resource(endpoint, endpoints)).collect();
    let version = ApiVersionDiscovery { version: api.version, resources, freshness: "Current" };
    ApiGroupDiscoveryList {
        kind: "APIGroupDiscoveryList",
        api_version: "apidiscovery.k8s.io/v2",
        metadata: EmptyMeta {},
        items: [ApiGroupDiscovery { metadata: GroupMeta { name: group }, versions: [version] }],
    }
}

fn group_without_type_meta(api: GroupVersion, name: &'static str) -> ApiGroup {
    let version = GroupVersionForDiscovery { group_version: api.name, version: api.version };
    ApiGroup { kind: "", api_version: "", name, versions: [version], preferred_version: version }
}

fn resource(api: GroupVersion, endpoint: &Endpoint) -> ApiResource {
    let subresource = endpoint.subresource.map(|name| format!("/{name}")).unwrap_or_default();
    ApiResource {
        name: format!("{}{subresource}", endpoint.resource),
        singular_name: endpoint.singular,
        namespaced: endpoint.scope == Scope::Namespaced,
        kind: endpoint.kind,
        verbs: endpoint.verbs().map(Verb::name).collect(),
        short_names: endpoint.short_names,
        categories: endpoint.categories,
        storage_version_hash: if endpoint.is_stored {
            storage_version_hash(api, endpoint.kind)
        } else {
            String::new()
        },
    }
}

/// A hash of group, version and kind (`StorageVersionHash` in
/// k8s.io/apiserver/pkg/endpoints/discovery/storageversionhash.go).
fn storage_version_hash(api: GroupVersion, kind: &str) -> String {
    STANDARD.encode(&Sha256::digest(format!("{}/{kind}", api.name))[..8])
}

fn aggregated_resource(endpoint: &Endpoint, all: &[Endpoint]) -> ApiResourceDiscovery {
    let mut subresources: Vec<&Endpoint> = all
        .iter()
        .filter(|each| each.resource == endpoint.resource && each.subresource.is_some())
        .collect();
    subresources.sort_by_key(|subresource| subresource.subresource);
    ApiResourceDiscovery {
        resource: endpoint.resource,
        response_kind: response_kind(endpoint),
        scope: if endpoint.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" },
        singular_resource: endpoint.singular,
        verbs: endpoint.verbs().map(Verb::name).collect(),
        short_names: endpoint.short_names,
        categories: endpoint.categories,
        subresources: subresources.into_iter().map(aggregated_subresource).collect(),
    }
}

fn aggregated_subresource(endpoint: &Endpoint) -> ApiSubresourceDiscovery {
    ApiSubresourceDiscovery {
        subresource: endpoint.subresource.unwrap_or_default(),
        response_kind: response_kind(endpoint),
        verbs: endpoint.verbs().map(Verb::name).collect(),
    }
}

fn response_kind(endpoint: &Endpoint) -> ResponseKind {
    ResponseKind { group: "", version: "", kind: endpoint.kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machinery::protobuf::tests::differences;
    use crate::meta::protobuf::{API_GROUP, API_RESOURCE_LIST};

    #[test]
    fn protobuf_tables_match_the_discovery_types() {
        let type_meta =
            ["APIGroup.kind is not in the table", "APIGroup.apiVersion is not in the table"];
        assert_eq!(differences::<ApiGroup>(&API_GROUP), type_meta);
        let unused =
            ["group", "version"].map(|name| format!("APIResource.{name} is not in the type"));
        let type_meta = ["kind", "apiVersion"]
            .map(|name| format!("APIResourceList.{name} is not in the table"));
        assert_eq!(
            differences::<ApiResourceList>(&API_RESOURCE_LIST),
            [type_meta, unused].concat()
        );
    }
}
