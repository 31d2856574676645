//! What is served, as OpenAPI tells it: the paths and what can be done there, in versions 2 and 3. Bodies are not described
//! yet.

mod operation;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::operation::operation;
use super::codec::GroupVersion;
use super::endpoint::{Endpoint, Scope, Verb};

/// A version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// 2.0, also called Swagger.
    V2,
    /// 3.0.
    V3,
}

/// The document about an API.
pub fn document(edition: Edition, api: GroupVersion, endpoints: &[Endpoint]) -> Value {
    let mut paths: BTreeMap<String, Value> = BTreeMap::new();
    for endpoint in endpoints {
        for verb in endpoint.verbs() {
            for path in paths_of(api, endpoint, verb) {
                let parameters = parameters(edition, &path);
                let item = paths.entry(path.clone()).or_insert_with(|| json!({ "parameters": parameters }));
                item[verb.method().as_str().to_ascii_lowercase()] = operation(edition, api, endpoint, verb, &path);
            }
        }
    }
    let info = json!({ "title": env!("CARGO_PKG_NAME"), "version": concat!("v", env!("CARGO_PKG_VERSION")) });
    match edition {
        Edition::V2 => json!({ "swagger": "2.0", "info": info, "paths": paths, "definitions": {} }),
        Edition::V3 => json!({ "openapi": "3.0.0", "info": info, "paths": paths, "components": { "schemas": {} } }),
    }
}

/// The index of documents of version 3: the one, with a hash that changes whenever it does.
pub fn index(api: GroupVersion, hash: &str) -> Value {
    let url = format!("/openapi/v3/apis/{}?hash={hash}", api.name);
    json!({ "paths": { format!("apis/{}", api.name): { "serverRelativeURL": url } } })
}

fn paths_of(api: GroupVersion, endpoint: &Endpoint, verb: Verb) -> Vec<String> {
    let Endpoint { resource, subresource, scope, .. } = endpoint;
    let name = if verb.is_on_collection() { "" } else { "/{name}" };
    let subresource = subresource.map(|name| format!("/{name}")).unwrap_or_default();
    let path = |namespace: &str| format!("/apis/{}/{namespace}{resource}{name}{subresource}", api.name);
    match (scope, verb) {
        (Scope::Cluster, _) => vec![path("")],
        (Scope::Namespaced, Verb::List) => vec![path(""), path("namespaces/{namespace}/")],
        (Scope::Namespaced, _) => vec![path("namespaces/{namespace}/")],
    }
}

fn parameters(edition: Edition, path: &str) -> Vec<Value> {
    let described = |name: &&str| path.contains(&format!("{{{name}}}"));
    let parameter = |name: &str| match edition {
        Edition::V2 => json!({ "name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true }),
        Edition::V3 => json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
    };
    ["namespace", "name"].iter().filter(|name| described(name)).map(|name| parameter(name)).collect()
}
