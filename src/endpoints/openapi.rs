//! OpenAPI documents of versions 2 and 3: paths, operations and schemas.
//!
//! They are generated from the endpoints and their Rust types before the build, not while the
//! server runs.

mod convert;
mod operation;
mod protobuf;
mod schemas;
mod security;
mod standard;
mod version;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::operation::operation;
use self::schemas::Schemas;
use crate::endpoints::endpoint::Endpoint;
use crate::endpoints::verb::Verb;
use crate::machinery::group_version::GroupVersion;
use crate::machinery::json;
use crate::registry::verbs::Scope;

pub use self::protobuf::{UnsupportedField, encode_protobuf};
pub use self::version::OpenApiVersion;

/// The version 3 document of an API group, which describes its discovery.
pub fn group_document(api: GroupVersion) -> Value {
    let mut schemas = Schemas::new(OpenApiVersion::V3, api);
    let paths = operation::group_discovery(&mut schemas, api);
    finish(OpenApiVersion::V3, paths, schemas)
}

/// The document of an API version, sorted by keys. In version 2 it includes the API group.
pub fn document(version: OpenApiVersion, api: GroupVersion, endpoints: &[Endpoint]) -> Value {
    let mut schemas = Schemas::new(version, api);
    let mut paths = operation::discovery(&mut schemas, api);
    if version == OpenApiVersion::V2 {
        paths.append(&mut operation::group_discovery(&mut schemas, api));
    }
    for endpoint in endpoints {
        for verb in endpoint.verbs() {
            for path in paths_of(api, endpoint, verb) {
                let parameters = parameters(version, &path);
                let item = paths
                    .entry(path.clone())
                    .or_insert_with(|| json!({ "parameters": parameters }));
                let operation = operation(&mut schemas, api, endpoint, verb, &path);
                item[verb.method().as_str().to_ascii_lowercase()] = operation;
            }
        }
    }
    finish(version, paths, schemas)
}

fn finish(version: OpenApiVersion, paths: BTreeMap<String, Value>, schemas: Schemas) -> Value {
    let (info, schemas) = (info(), schemas.finish());
    let (security, schemes) = (security::requirement(), security::schemes(version));
    let mut document = match version {
        OpenApiVersion::V2 => {
            json!({ "swagger": "2.0", "info": info, "paths": paths, "definitions": schemas,
                "security": security, "securityDefinitions": schemes })
        }
        OpenApiVersion::V3 => {
            json!({ "openapi": "3.0.0", "info": info, "paths": paths, "security": security,
                "components": { "schemas": schemas, "securitySchemes": schemes } })
        }
    };
    document.sort_all_objects();
    document
}

/// Encodes a document with operations and schemas on lines of their own, for readable diffs.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode_object(document, 3, &mut out);
    out.push(b'\n');
    out
}

fn info() -> Value {
    json!({ "title": env!("CARGO_PKG_NAME"), "version": concat!("v", env!("CARGO_PKG_VERSION")) })
}

/// Encodes an object with its fields on lines of their own, down to a depth.
fn encode_object(value: &Value, depth: usize, out: &mut Vec<u8>) {
    let Some(fields) = value.as_object().filter(|fields| depth > 0 && !fields.is_empty()) else {
        return json::encode_into(value, out);
    };
    for (at, (name, field)) in fields.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\n" } else { b",\n" });
        json::encode_text(name, out);
        out.push(b':');
        encode_object(field, depth - 1, out);
    }
    out.extend_from_slice(b"\n}");
}

/// The index of the version 3 documents, given as pairs of path and hash. The hash changes with the
/// document.
pub fn index(documents: &[(String, &str)]) -> Value {
    let entry = |(path, hash): &(String, &str)| {
        (path.clone(), json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}") }))
    };
    json!({ "paths": documents.iter().map(entry).collect::<serde_json::Map<_, _>>() })
}

fn paths_of(api: GroupVersion, endpoint: &Endpoint, verb: Verb) -> Vec<String> {
    let Endpoint { resource, subresource, scope, .. } = endpoint;
    let name = if verb.is_on_collection() { "" } else { "/{name}" };
    let subresource = subresource.map(|name| format!("/{name}")).unwrap_or_default();
    let path =
        |namespace: &str| format!("/apis/{}/{namespace}{resource}{name}{subresource}", api.name);
    let watch_path = |rest: &str| format!("/apis/{}/watch/{rest}", api.name);
    match (scope, verb) {
        (Scope::Cluster, Verb::Watch) => {
            vec![watch_path(resource), watch_path(&format!("{resource}/{{name}}"))]
        }
        (Scope::Namespaced, Verb::Watch) => {
            let in_namespace = format!("namespaces/{{namespace}}/{resource}");
            vec![
                watch_path(resource),
                watch_path(&in_namespace),
                watch_path(&format!("{in_namespace}/{{name}}")),
            ]
        }
        (Scope::Cluster, _) => vec![path("")],
        (Scope::Namespaced, Verb::List) => vec![path(""), path("namespaces/{namespace}/")],
        (Scope::Namespaced, _) => vec![path("namespaces/{namespace}/")],
    }
}

fn parameters(version: OpenApiVersion, path: &str) -> Vec<Value> {
    let is_in_path = |name: &&str| path.contains(&format!("{{{name}}}"));
    let parameter = |name: &str| match version {
        OpenApiVersion::V2 => {
            json!({ "name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true })
        }
        OpenApiVersion::V3 => {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        }
    };
    ["namespace", "name"]
        .iter()
        .filter(|name| is_in_path(name))
        .map(|name| parameter(name))
        .collect()
}
