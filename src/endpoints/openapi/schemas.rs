//! The schemas that a document has: those of the kinds that are served, and of all that these consist of.

use std::collections::BTreeMap;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::version::OpenApiVersion;
use super::{convert, standard};
use crate::endpoints::discovery::{ApiGroup, ApiResourceList};
use crate::endpoints::endpoint::Endpoint;
use crate::machinery::group_version::GroupVersion;
use crate::meta::{ListMeta, Status};

/// The extension that names the kind of a schema or an operation.
pub(super) const GROUP_VERSION_KIND: &str = "x-kubernetes-group-version-kind";

/// Gathers schemas while paths refer to them.
pub(super) struct Schemas {
    version: OpenApiVersion,
    api: GroupVersion,
    generator: SchemaGenerator,
    /// Kinds by the names of their schemas: group, version and kind, as the extension has them.
    kinds: BTreeMap<String, Vec<Value>>,
    /// Schemas that are no Rust types.
    written: BTreeMap<String, Value>,
}

impl Schemas {
    /// None yet.
    pub(super) fn new(version: OpenApiVersion, api: GroupVersion) -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let settings = settings.with(|settings| settings.definitions_path = path(version).into());
        let generator = settings.into_generator();
        Self { version, api, generator, kinds: BTreeMap::new(), written: BTreeMap::new() }
    }

    /// The version that the document is of.
    pub(super) fn version(&self) -> OpenApiVersion {
        self.version
    }

    /// A reference to the kind of an endpoint.
    pub(super) fn object(&mut self, endpoint: &Endpoint) -> Value {
        let kind = json!({ "group": self.api.group, "version": self.api.version, "kind": endpoint.kind });
        let reference = (endpoint.schema)(&mut self.generator);
        self.kind(reference, kind)
    }

    /// A reference to the list of the kind of an endpoint.
    pub(super) fn list(&mut self, endpoint: &Endpoint) -> Value {
        let items = self.object(endpoint);
        let name = format!("{}List", name_of(&items));
        let kind =
            json!({ "group": self.api.group, "version": self.api.version, "kind": format!("{}List", endpoint.kind) });
        let metadata = self.generator.subschema_for::<ListMeta>();
        let list = json!({
            "type": "object",
            "description": format!("{} objects, or a page of them.", endpoint.kind),
            "properties": {
                "items": { "type": "array", "items": items, "required": true, "description": "The objects." },
                "metadata": with_description(metadata, "Version of the list, and how to get the next page."),
            },
        });
        self.written(&name, &list, vec![kind])
    }

    /// A reference to the answer of what has no object to answer.
    pub(super) fn status(&mut self) -> Value {
        self.core::<Status>("Status")
    }

    /// A reference to the resources of the version.
    pub(super) fn resources(&mut self) -> Value {
        self.core::<ApiResourceList>("APIResourceList")
    }

    /// A reference to the versions of the group.
    pub(super) fn group(&mut self) -> Value {
        self.core::<ApiGroup>("APIGroup")
    }

    /// A reference to the body of a deletion.
    pub(super) fn delete_options(&mut self) -> Value {
        let preconditions = self.written(standard::PRECONDITIONS, &standard::preconditions(), Vec::new());
        let kind = |group: &str| json!({ "group": group, "version": "v1", "kind": "DeleteOptions" });
        let kinds = vec![kind(""), kind(self.api.group)];
        self.written(standard::DELETE_OPTIONS, &standard::delete_options(&preconditions), kinds)
    }

    /// A reference to an event of a watch.
    pub(super) fn watch_event(&mut self) -> Value {
        let kind = |group: &str| json!({ "group": group, "version": "v1", "kind": "WatchEvent" });
        let kinds = vec![kind(""), kind(self.api.group)];
        self.written(standard::WATCH_EVENT, &standard::watch_event(), kinds)
    }

    /// A reference to the body of a patch.
    pub(super) fn patch(&mut self) -> Value {
        self.written(standard::PATCH, &standard::patch(), Vec::new())
    }

    /// All that was referred to, by name.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let made = self.generator.take_definitions(false);
        let mut schemas: Map<String, Value> =
            made.iter().map(|(name, made)| (name.clone(), convert::object(self.version, made))).collect();
        schemas.extend(self.written);
        for (name, kinds) in self.kinds {
            schemas[&name][GROUP_VERSION_KIND] = kinds.into();
        }
        schemas
    }

    fn core<T: JsonSchema>(&mut self, kind: &str) -> Value {
        let reference = self.generator.subschema_for::<T>();
        self.kind(reference, json!({ "group": "", "version": "v1", "kind": kind }))
    }

    fn kind(&mut self, reference: Schema, kind: Value) -> Value {
        let reference = Value::from(reference);
        self.kinds.insert(name_of(&reference).to_owned(), vec![kind]);
        reference
    }

    fn written(&mut self, name: &str, schema: &Value, kinds: Vec<Value>) -> Value {
        self.written.insert(name.to_owned(), convert::object(self.version, schema));
        if !kinds.is_empty() {
            self.kinds.insert(name.to_owned(), kinds);
        }
        json!({ "$ref": format!("#{}/{name}", path(self.version)) })
    }
}

/// Where a document has its schemas, as a JSON pointer.
fn path(version: OpenApiVersion) -> &'static str {
    match version {
        OpenApiVersion::V2 => "/definitions",
        OpenApiVersion::V3 => "/components/schemas",
    }
}

/// The name that a reference ends with.
fn name_of(reference: &Value) -> &str {
    let path = reference["$ref"].as_str().expect("kinds have names, so there are references to them");
    path.rsplit('/').next().unwrap_or(path)
}

fn with_description(reference: Schema, text: &str) -> Value {
    let mut reference = Value::from(reference);
    reference["description"] = text.into();
    reference
}
