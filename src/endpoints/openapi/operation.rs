//! One operation: what it is called, what its query may say, what its body may be and what is answered. Clients look here before they send a dry run, a
//! field validation or an apply.

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

/// The media types of bodies that are whole objects.
const OBJECTS: [&str; 3] = ["application/json", "application/yaml", protobuf::MEDIA_TYPE];
/// The media types of answers that may be events.
const OBJECTS_AND_EVENTS: [&str; 5] = [
    "application/json",
    "application/yaml",
    protobuf::MEDIA_TYPE,
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// A parameter of a query: its name, its type, and what it is for.
type Parameter = (&'static str, &'static str, &'static str);

const DRY_RUN: Parameter = ("dryRun", "string", "All to be told what would happen, without anything being written.");
const FIELD_MANAGER: Parameter = ("fieldManager", "string", "Name of the writer, as managedFields know it.");
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "What is done about unknown and duplicate fields: Ignore, Warn (the default) or Strict.",
);
const FORCE: Parameter = ("force", "boolean", "Whether an apply takes fields over that others own.");
const DELETION: [Parameter; 4] = [
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "Taken, and without effect: objects have nothing to end."),
    ("orphanDependents", "boolean", "Whether dependents stay; propagationPolicy is the newer form."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
];
const SELECTION: [Parameter; 4] = [
    ("continue", "string", "Where the list goes on, as the page before said."),
    ("fieldSelector", "string", "Which objects are meant, by their fields."),
    ("labelSelector", "string", "Which objects are meant, by their labels."),
    ("limit", "integer", "How many objects a page has at most."),
];

const WATCHING: [Parameter; 6] = [
    ("allowWatchBookmarks", "boolean", "Whether a watch tells now and then how far it has come."),
    ("resourceVersion", "string", "Where a watch begins, or how old a list may be."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Whether a watch begins with all that is there."),
    ("timeoutSeconds", "integer", "How long a watch lasts."),
    ("watch", "boolean", "Whether what changes is told, instead of what is there."),
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
        "parameters": query(endpoint, verb).into_iter().map(|each| parameter(version, each)).collect::<Vec<_>>(),
        "responses": responses(schemas, endpoint, verb),
        "x-kubernetes-action": action(verb, path),
        GROUP_VERSION_KIND: { "group": api.group, "version": api.version, "kind": endpoint.kind },
    });
    if version == OpenApiVersion::V2 {
        operation["produces"] = json!(media_types(endpoint, verb));
    }
    if verb == Verb::Watch {
        operation["description"] =
            "List with the parameter watch instead, and with a fieldSelector for one object.".into();
        operation["deprecated"] = true.into();
    }
    if let Some(body) = body(schemas, endpoint, verb) {
        add_body(version, &mut operation, &body);
    }
    operation
}

/// The path that tells the resources of a version.
pub(super) fn discovery(schemas: &mut Schemas, api: GroupVersion) -> BTreeMap<String, Value> {
    let resources = schemas.resources();
    BTreeMap::from([(format!("/apis/{}/", api.name), reading(schemas.version(), api, "getAPIResources", &resources))])
}

/// The path that tells the versions of a group.
pub(super) fn group_discovery(schemas: &mut Schemas, api: GroupVersion) -> BTreeMap<String, Value> {
    let group = schemas.group();
    BTreeMap::from([(format!("/apis/{}/", api.group), reading(schemas.version(), api, "getAPIGroup", &group))])
}

/// A path of discovery, with what it answers.
fn reading(version: OpenApiVersion, api: GroupVersion, id: &str, schema: &Value) -> Value {
    let mut get = json!({
        "operationId": id,
        "tags": [tag(api)],
        "responses": { "200": answer(version, "OK", schema), "401": { "description": "Unauthorized" } },
    });
    if version == OpenApiVersion::V2 {
        get["produces"] = json!(OBJECTS);
    }
    json!({ "get": get })
}

/// What generators of clients gather operations by: group and version.
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
    let place = if path.contains("{namespace}") { "Namespaced" } else { "" };
    let aspect = endpoint.subresource.map(capital).unwrap_or_default();
    let everywhere = if endpoint.scope == Scope::Namespaced && place.is_empty() { "ForAllNamespaces" } else { "" };
    let many = if verb == Verb::Watch && !path.contains("{name}") { "List" } else { "" };
    format!("{}{place}{}{many}{aspect}{everywhere}", verb.name(), endpoint.kind)
}

/// What the query may say.
fn query(endpoint: &Endpoint, verb: Verb) -> Vec<Parameter> {
    match verb {
        Verb::Get => Vec::new(),
        Verb::List | Verb::Watch if endpoint.has(Verb::Watch) => SELECTION.into_iter().chain(WATCHING).collect(),
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

/// What a request may carry.
struct RequestBody {
    media_types: &'static [&'static str],
    schema: Value,
    required: bool,
}

/// The body; none where nothing is read.
fn body(schemas: &mut Schemas, endpoint: &Endpoint, verb: Verb) -> Option<RequestBody> {
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
            let body = json!({ "name": "body", "in": "body", "required": required, "schema": schema });
            operation["parameters"].as_array_mut().expect("it was made a list").push(body);
        }
        OpenApiVersion::V3 => {
            operation["requestBody"] = json!({ "required": required, "content": content(media_types, schema) });
        }
    }
}

/// What is answered.
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
    let answers = codes.iter().map(|(code, text)| ((*code).to_owned(), answer_in(version, media_types, text, &schema)));
    let unauthorized = ("401".to_owned(), json!({ "description": "Unauthorized" }));
    answers.chain([unauthorized]).collect::<Map<_, _>>().into()
}

/// The media types of answers.
fn media_types(endpoint: &Endpoint, verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::List | Verb::Watch if endpoint.has(Verb::Watch) => &OBJECTS_AND_EVENTS,
        _ => &OBJECTS,
    }
}

fn answer(version: OpenApiVersion, description: &str, schema: &Value) -> Value {
    answer_in(version, &OBJECTS, description, schema)
}

fn answer_in(version: OpenApiVersion, media_types: &[&str], description: &str, schema: &Value) -> Value {
    match version {
        OpenApiVersion::V2 => json!({ "description": description, "schema": schema }),
        OpenApiVersion::V3 => json!({ "description": description, "content": content(media_types, schema) }),
    }
}

fn content(media_types: &[&str], schema: &Value) -> Value {
    let content = media_types.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema })));
    content.collect::<Map<_, _>>().into()
}

/// The verb as the extension of Kubernetes names it.
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

    const API: GroupVersion = GroupVersion { group: "g", name: "g/v1", version: "v1", kinds: &["ImageStream"] };

    fn patch(version: OpenApiVersion) -> Value {
        let endpoint = Builder::<ImageStream>::new(API, "imagestreams", Scope::Namespaced).build();
        let path = "/apis/g/v1/namespaces/{namespace}/imagestreams/{name}";
        operation(&mut Schemas::new(version, API), API, &endpoint, Verb::Patch, path)
    }

    #[test]
    fn a_patch_says_what_it_takes_and_what_its_query_may_say() {
        for version in [OpenApiVersion::V2, OpenApiVersion::V3] {
            let operation = patch(version);
            assert_eq!(operation["operationId"], "patchNamespacedImageStream");
            let kind = json!({ "group": "g", "version": "v1", "kind": "ImageStream" });
            assert_eq!(operation["x-kubernetes-group-version-kind"], kind);
            let parameters = operation["parameters"].as_array().unwrap();
            let of_query = parameters.iter().filter(|each| each["in"] == "query");
            let names: Vec<_> = of_query.map(|each| each["name"].as_str().unwrap()).collect();
            assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
        }
        assert_eq!(patch(OpenApiVersion::V2)["consumes"], json!(MEDIA_TYPES));
        let content = &patch(OpenApiVersion::V3)["requestBody"]["content"];
        assert!(MEDIA_TYPES.iter().all(|media| content.get(media).is_some()), "{content}");
    }
}
