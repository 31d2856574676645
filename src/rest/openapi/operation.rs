//! One operation: what it is called, what its query may say, and what its body may be. Clients look here before they send a dry run, a
//! field validation or an apply.

use serde_json::{Value, json};

use super::Edition;
use crate::rest::codec::GroupVersion;
use crate::rest::endpoint::{Endpoint, Scope, Verb};
use crate::rest::patch::MEDIA_TYPES;

/// The media types of bodies that are whole objects.
const OBJECTS: [&str; 2] = ["application/json", "application/yaml"];

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

/// The operation of a verb at a path.
pub(super) fn operation(edition: Edition, api: GroupVersion, endpoint: &Endpoint, verb: Verb, path: &str) -> Value {
    let mut operation = json!({
        "operationId": id(endpoint, verb, path),
        "parameters": query(verb).into_iter().map(|each| parameter(edition, each)).collect::<Vec<_>>(),
        "responses": { "200": { "description": "OK" } },
        "x-kubernetes-action": action(verb),
        "x-kubernetes-group-version-kind": { "group": api.group, "version": api.version, "kind": endpoint.kind },
    });
    if edition == Edition::V2 {
        operation["produces"] = json!(OBJECTS);
    }
    if let Some(media_types) = body(verb) {
        add_body(edition, &mut operation, media_types);
    }
    operation
}

fn id(endpoint: &Endpoint, verb: Verb, path: &str) -> String {
    let words = |text: &str| text[..1].to_ascii_uppercase() + &text[1..];
    let place = if path.contains("{namespace}") { "Namespaced" } else { "" };
    let aspect = endpoint.subresource.map(words).unwrap_or_default();
    let everywhere = if endpoint.scope == Scope::Namespaced && place.is_empty() { "ForAllNamespaces" } else { "" };
    format!("{}{place}{}{aspect}{everywhere}", verb.name(), endpoint.kind)
}

/// What the query may say.
fn query(verb: Verb) -> Vec<Parameter> {
    match verb {
        Verb::Get => Vec::new(),
        Verb::List => SELECTION.into(),
        Verb::Create | Verb::Update => vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION],
        Verb::Patch => vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE],
        Verb::Delete => DELETION.into(),
        Verb::DeleteCollection => DELETION.into_iter().chain(SELECTION).collect(),
    }
}

fn parameter(edition: Edition, (name, kind, description): Parameter) -> Value {
    let mut parameter = json!({ "name": name, "in": "query", "description": description });
    match edition {
        Edition::V2 => {
            parameter["type"] = kind.into();
            parameter["uniqueItems"] = true.into();
        }
        Edition::V3 => parameter["schema"] = json!({ "type": kind, "uniqueItems": true }),
    }
    parameter
}

/// The media types of the body; none where there is no body.
fn body(verb: Verb) -> Option<&'static [&'static str]> {
    match verb {
        Verb::Get | Verb::List => None,
        Verb::Patch => Some(&MEDIA_TYPES),
        Verb::Create | Verb::Update | Verb::Delete | Verb::DeleteCollection => Some(&OBJECTS),
    }
}

fn add_body(edition: Edition, operation: &mut Value, media_types: &[&str]) {
    let schema = json!({ "type": "object" });
    match edition {
        Edition::V2 => {
            operation["consumes"] = json!(media_types);
            let body = json!({ "name": "body", "in": "body", "schema": schema });
            operation["parameters"].as_array_mut().expect("it was made a list").push(body);
        }
        Edition::V3 => {
            let content = media_types.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema })));
            operation["requestBody"] = json!({ "content": content.collect::<serde_json::Map<_, _>>() });
        }
    }
}

/// The verb as the extension of Kubernetes names it.
fn action(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "post",
        Verb::Delete => "delete",
        Verb::DeleteCollection => "deletecollection",
        Verb::Get => "get",
        Verb::List => "list",
        Verb::Patch => "patch",
        Verb::Update => "put",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ImageStream;
    use crate::rest::endpoint::Builder;

    const API: GroupVersion = GroupVersion { group: "g", name: "g/v1", version: "v1", kinds: &["ImageStream"] };

    fn patch(edition: Edition) -> Value {
        let endpoint = Builder::<ImageStream>::new(API, "imagestreams", Scope::Namespaced).build();
        operation(edition, API, &endpoint, Verb::Patch, "/apis/g/v1/namespaces/{namespace}/imagestreams/{name}")
    }

    #[test]
    fn a_patch_says_what_it_takes_and_what_its_query_may_say() {
        for edition in [Edition::V2, Edition::V3] {
            let operation = patch(edition);
            assert_eq!(operation["operationId"], "patchNamespacedImageStream");
            let kind = json!({ "group": "g", "version": "v1", "kind": "ImageStream" });
            assert_eq!(operation["x-kubernetes-group-version-kind"], kind);
            let parameters = operation["parameters"].as_array().unwrap();
            let of_query = parameters.iter().filter(|each| each["in"] == "query");
            let names: Vec<_> = of_query.map(|each| each["name"].as_str().unwrap()).collect();
            assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
        }
        assert_eq!(patch(Edition::V2)["consumes"], json!(MEDIA_TYPES));
        let content = &patch(Edition::V3)["requestBody"]["content"];
        assert!(MEDIA_TYPES.iter().all(|media| content.get(media).is_some()), "{content}");
    }
}
