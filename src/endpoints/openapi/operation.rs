//! Operations: identifier, parameters, request body and responses.
//!
//! Clients detect support for dry run, field validation and apply by the parameters here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schemas::{GROUP_VERSION_KIND, Schemas};
use super::version::OpenApiVersion;
use crate::endpoints::endpoint::Endpoint;
use crate::endpoints::verb::Verb;
use crate::machinery::group_version::GroupVersion;
use crate::machinery::patch::MEDIA_TYPES;
use crate::machinery::protobuf;
use crate::registry::verbs::Scope;

/// The media types of objects.
const OBJECTS: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA_TYPE];
/// The media types of responses with objects or watch events.
const OBJECTS_AND_EVENTS: [&str; 5] = [
    "application/json",
    "application/yaml",
    protobuf::MEDIA_TYPE,
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// A query parameter: name, type and description.
type Parameter = (&'static str, &'static str, &'static str);

const DRY_RUN: Parameter = (
    "dryRun",
    "string",
    "When present, the request is validated and executed, but not stored. The only valid value is All.",
);
const FIELD_MANAGER: Parameter = (
    "fieldManager",
    "string",
    "Name of the actor that makes the change, recorded in managedFields. The default is derived from User-Agent.",
);
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "Treatment of unknown and duplicate fields: Ignore, Warn (default) or Strict.",
);
const FORCE: Parameter = (
    "force",
    "boolean",
    "If true, an apply takes ownership of conflicting fields of other managers.",
);
const DELETION: [Parameter; 4] = [
    DRY_RUN,
    (
        "gracePeriodSeconds",
        "integer",
        "Accepted for compatibility. Objects are deleted without a grace period.",
    ),
    (
        "orphanDependents",
        "boolean",
        "Deprecated: use propagationPolicy. If true, dependent objects are orphaned.",
    ),
    (
        "propagationPolicy",
        "string",
        "Garbage collection of dependents: Orphan, Background or Foreground.",
    ),
];
const SELECTION: [Parameter; 4] = [
    ("continue", "string", "Token from the previous page of the list, to retrieve the next page."),
    (
        "fieldSelector",
        "string",
        "Restricts the list to objects with matching fields. The default is everything.",
    ),
    (
        "labelSelector",
        "string",
        "Restricts the list to objects with matching labels. The default is everything.",
    ),
    (
        "limit",
        "integer",
        "Maximum number of objects in a response. If there are more, metadata.continue is set.",
    ),
];

const WATCHING: [Parameter; 6] = [
    ("allowWatchBookmarks", "boolean", "If true, the watch sends BOOKMARK events."),
    (
        "resourceVersion",
        "string",
        "Resource version after which a watch begins, or constraint on the version of a list.",
    ),
    (
        "resourceVersionMatch",
        "string",
        "Interpretation of resourceVersion for lists: Exact or NotOlderThan.",
    ),
    (
        "sendInitialEvents",
        "boolean",
        "If true, a watch begins with events for the existing objects, followed by a bookmark.",
    ),
    ("timeoutSeconds", "integer", "Timeout of a list or watch, in seconds."),
    ("watch", "boolean", "If true, the response is a stream of the changes of the objects."),
];

/// The operation of a verb at a path.
pub(super) fn operation(
    schemas: &mut Schemas,
    api: GroupVersion,
    endpoint: &Endpoint,
    verb: Verb,
    path: &str,
) -> Value {
    let version = schemas.version();
    let mut operation = json!({
        "operationId": id(endpoint, verb, path),
        "tags": [tag(api)],
        "parameters": query_parameters(endpoint, verb).into_iter().map(|each| parameter(version, each)).collect::<Vec<_>>(),
        "responses": responses(schemas, endpoint, verb),
        "x-kubernetes-action": action(verb, path),
        GROUP_VERSION_KIND: { "group": api.group, "version": api.version, "kind": endpoint.kind },
    });
    if version == OpenApiVersion::V2 {
        operation["produces"] = json!(media_types(endpoint, verb));
    }
    if verb == Verb::Watch {
        operation["description"] =
            "Deprecated: use the watch parameter with a list operation, and a fieldSelector for a single object."
                .into();
        operation["deprecated"] = true.into();
    }
    if let Some(body) = request_body(schemas, endpoint, verb) {
        add_body(version, &mut operation, &body);
    }
    operation
}

/// The path of the discovery of an API version.
pub(super) fn discovery(schemas: &mut Schemas, api: GroupVersion) -> BTreeMap<String, Value> {
    let resources = schemas.resources();
    BTreeMap::from([(
        format!("/apis/{}/", api.name),
        discovery_path(schemas.version(), api, "getAPIResources", &resources),
    )])
}

/// The path of the discovery of an API group.
pub(super) fn group_discovery(schemas: &mut Schemas, api: GroupVersion) -> BTreeMap<String, Value> {
    let group = schemas.group();
    BTreeMap::from([(
        format!("/apis/{}/", api.group),
        discovery_path(schemas.version(), api, "getAPIGroup", &group),
    )])
}

/// A path of discovery with its GET operation.
fn discovery_path(version: OpenApiVersion, api: GroupVersion, id: &str, schema: &Value) -> Value {
    let mut get = json!({
        "operationId": id,
        "tags": [tag(api)],
        "responses": { "200": response(version, "OK", schema), "401": { "description": "Unauthorized" } },
    });
    if version == OpenApiVersion::V2 {
        get["produces"] = json!(OBJECTS);
    }
    json!({ "get": get })
}

/// The tag by which client generators group operations: group and version.
fn tag(api: GroupVersion) -> String {
    let mut words = api.group.split('.');
    let first = words.next().unwrap_or_default().to_owned();
    let group = words.filter(|word| !word.is_empty()).fold(first, |all, word| all + &capital(word));
    format!("{group}_{}", api.version)
}

fn capital(word: &str) -> String {
    word[..1].to_ascii_uppercase() + &word[1..]
}

fn id(endpoint: &Endpoint, verb: Verb, path: &str) -> String {
    let namespaced = if path.contains("{namespace}") { "Namespaced" } else { "" };
    let subresource = endpoint.subresource.map(capital).unwrap_or_default();
    let everywhere = if endpoint.scope == Scope::Namespaced && namespaced.is_empty() {
        "ForAllNamespaces"
    } else {
        ""
    };
    let many = if verb == Verb::Watch && !path.contains("{name}") { "List" } else { "" };
    format!("{}{namespaced}{}{many}{subresource}{everywhere}", verb.name(), endpoint.kind)
}

/// The query parameters.
fn query_parameters(endpoint: &Endpoint, verb: Verb) -> Vec<Parameter> {
    match verb {
        Verb::Get => Vec::new(),
        Verb::List | Verb::Watch if endpoint.has(Verb::Watch) => {
            SELECTION.into_iter().chain(WATCHING).collect()
        }
        Verb::List | Verb::Watch => SELECTION.into(),
        Verb::Create | Verb::Update => vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION],
        Verb::Patch => vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE],
        Verb::Delete => DELETION.into(),
        Verb::DeleteCollection => DELETION.into_iter().chain(SELECTION).collect(),
    }
}

fn parameter(version: OpenApiVersion, (name, kind, description): Parameter) -> Value {
    let mut parameter = json!({ "name": name, "in": "query", "description": description });
    match version {
        OpenApiVersion::V2 => {
            parameter["type"] = kind.into();
            parameter["uniqueItems"] = true.into();
        }
        OpenApiVersion::V3 => parameter["schema"] = json!({ "type": kind, "uniqueItems": true }),
    }
    parameter
}

/// A request body.
struct RequestBody {
    media_types: &'static [&'static str],
    schema: Value,
    required: bool,
}

/// The request body; none for GET.
fn request_body(schemas: &mut Schemas, endpoint: &Endpoint, verb: Verb) -> Option<RequestBody> {
    let (media_types, schema): (&[_], _) = match verb {
        Verb::Get | Verb::List | Verb::Watch => return None,
        Verb::Patch => (&MEDIA_TYPES, schemas.patch()),
        Verb::Create | Verb::Update => (&OBJECTS, schemas.object(endpoint)),
        Verb::Delete | Verb::DeleteCollection => (&OBJECTS, schemas.delete_options()),
    };
    let required = !matches!(verb, Verb::Delete | Verb::DeleteCollection);
    Some(RequestBody { media_types, schema, required })
}

fn add_body(version: OpenApiVersion, operation: &mut Value, body: &RequestBody) {
    let RequestBody { media_types, schema, required } = body;
    match version {
        OpenApiVersion::V2 => {
            operation["consumes"] = json!(media_types);
            let body =
                json!({ "name": "body", "in": "body", "required": required, "schema": schema });
            operation["parameters"].as_array_mut().expect("parameters are an array").push(body);
        }
        OpenApiVersion::V3 => {
            operation["requestBody"] =
                json!({ "required": required, "content": content(media_types, schema) });
        }
    }
}

/// The responses by status code.
fn responses(schemas: &mut Schemas, endpoint: &Endpoint, verb: Verb) -> Value {
    let schema = match verb {
        Verb::Watch => schemas.watch_event(),
        Verb::List | Verb::DeleteCollection => schemas.list(endpoint),
        Verb::Delete => schemas.status(),
        Verb::Create | Verb::Get | Verb::Patch | Verb::Update => schemas.object(endpoint),
    };
    let codes: &[(&str, &str)] = match verb {
        Verb::Create => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
        Verb::Delete => &[("200", "OK"), ("202", "Accepted")],
        Verb::Patch | Verb::Update => &[("200", "OK"), ("201", "Created")],
        Verb::DeleteCollection | Verb::Get | Verb::List | Verb::Watch => &[("200", "OK")],
    };
    let version = schemas.version();
    let media_types = media_types(endpoint, verb);
    let responses = codes.iter().map(|(code, text)| {
        ((*code).to_owned(), response_with_media_types(version, media_types, text, &schema))
    });
    let unauthorized = ("401".to_owned(), json!({ "description": "Unauthorized" }));
    responses.chain([unauthorized]).collect::<Map<_, _>>().into()
}

/// The media types of responses.
fn media_types(endpoint: &Endpoint, verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::List | Verb::Watch if endpoint.has(Verb::Watch) => &OBJECTS_AND_EVENTS,
        _ => &OBJECTS,
    }
}

fn response(version: OpenApiVersion, description: &str, schema: &Value) -> Value {
    response_with_media_types(version, &OBJECTS, description, schema)
}

fn response_with_media_types(
    version: OpenApiVersion,
    media_types: &[&str],
    description: &str,
    schema: &Value,
) -> Value {
    match version {
        OpenApiVersion::V2 => json!({ "description": description, "schema": schema }),
        OpenApiVersion::V3 => {
            json!({ "description": description, "content": content(media_types, schema) })
        }
    }
}

fn content(media_types: &[&str], schema: &Value) -> Value {
    let content =
        media_types.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema })));
    content.collect::<Map<_, _>>().into()
}

/// The value of `x-kubernetes-action`.
fn action(verb: Verb, path: &str) -> &'static str {
    match verb {
        Verb::Watch if path.contains("{name}") => "watch",
        Verb::Create => "post",
        Verb::Delete => "delete",
        Verb::DeleteCollection => "deletecollection",
        Verb::Get => "get",
        Verb::List => "list",
        Verb::Patch => "patch",
        Verb::Update => "put",
        Verb::Watch => "watchlist",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ImageStream;
    use crate::endpoints::endpoint::Builder;

    const API: GroupVersion =
        GroupVersion { group: "g", name: "g/v1", version: "v1", kinds: &["ImageStream"] };

    fn patch(version: OpenApiVersion) -> Value {
        let endpoint = Builder::<ImageStream>::new(API, "imagestreams", Scope::Namespaced).build();
        let path = "/apis/g/v1/namespaces/{namespace}/imagestreams/{name}";
        operation(&mut Schemas::new(version, API), API, &endpoint, Verb::Patch, path)
    }

    #[test]
    fn a_patch_has_its_media_types_and_parameters() {
        for version in [OpenApiVersion::V2, OpenApiVersion::V3] {
            let operation = patch(version);
            assert_eq!(operation["operationId"], "patchNamespacedImageStream");
            let kind = json!({ "group": "g", "version": "v1", "kind": "ImageStream" });
            assert_eq!(operation["x-kubernetes-group-version-kind"], kind);
            let parameters = operation["parameters"].as_array().unwrap();
            let query = parameters.iter().filter(|each| each["in"] == "query");
            let names: Vec<_> = query.map(|each| each["name"].as_str().unwrap()).collect();
            assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
        }
        assert_eq!(patch(OpenApiVersion::V2)["consumes"], json!(MEDIA_TYPES));
        let content = &patch(OpenApiVersion::V3)["requestBody"]["content"];
        assert!(MEDIA_TYPES.iter().all(|media| content.get(media).is_some()), "{content}");
    }
}
