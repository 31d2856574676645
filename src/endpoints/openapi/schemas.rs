//! The schemas of a document: those of the served kinds and all that they refer to.

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

/// Collects the schemas that operations refer to.
pub(super) struct Schemas {
    version: OpenApiVersion,
    api: GroupVersion,
    generator: SchemaGenerator,
    /// Values of [`GROUP_VERSION_KIND`] by the names of schemas.
    kinds: BTreeMap<String, Vec<Value>>,
    /// Schemas without a Rust type.
    handwritten: BTreeMap<String, Value>,
}

impl Schemas {
    pub(super) fn new(version: OpenApiVersion, api: GroupVersion) -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let settings =
            settings.with(|settings| settings.definitions_path = schemas_path(version).into());
        let generator = settings.into_generator();
        Self { version, api, generator, kinds: BTreeMap::new(), handwritten: BTreeMap::new() }
    }

    /// The version of the document.
    pub(super) fn version(&self) -> OpenApiVersion {
        self.version
    }

    /// A reference to the kind of an endpoint.
    pub(super) fn object(&mut self, endpoint: &Endpoint) -> Value {
        let kind =
            json!({ "group": self.api.group, "version": self.api.version, "kind": endpoint.kind });
        let reference = (endpoint.schema)(&mut self.generator);
        self.kind(reference, kind)
    }

    /// A reference to the list of the kind of an endpoint.
    pub(super) fn list(&mut self, endpoint: &Endpoint) -> Value {
        let items = self.object(endpoint);
        let name = format!("{}List", name_of(&items));
        let kind = json!({ "group": self.api.group, "version": self.api.version, "kind": format!("{}List", endpoint.kind) });
        let metadata = self.generator.subschema_for::<ListMeta>();
        let list = json!({
            "type": "object",
            "description": format!("{0}List is a list of {0} objects.", endpoint.kind),
            "properties": {
                "items": { "type": "array", "items": items, "required": true, "description": "Items is the list of objects." },
                "metadata": with_description(metadata, "Standard list metadata."),
            },
        });
        self.handwritten(&name, &list, vec![kind])
    }

    /// A reference to `Status`.
    pub(super) fn status(&mut self) -> Value {
        self.core::<Status>("Status")
    }

    /// A reference to the discovery of an API version.
    pub(super) fn resources(&mut self) -> Value {
        self.core::<ApiResourceList>("APIResourceList")
    }

    /// A reference to the discovery of an API group.
    pub(super) fn group(&mut self) -> Value {
        self.core::<ApiGroup>("APIGroup")
    }

    /// A reference to the body of a deletion.
    pub(super) fn delete_options(&mut self) -> Value {
        let preconditions =
            self.handwritten(standard::PRECONDITIONS, &standard::preconditions(), Vec::new());
        let kind =
            |group: &str| json!({ "group": group, "version": "v1", "kind": "DeleteOptions" });
        let kinds = vec![kind(""), kind(self.api.group)];
        self.handwritten(standard::DELETE_OPTIONS, &standard::delete_options(&preconditions), kinds)
    }

    /// A reference to an event of a watch.
    pub(super) fn watch_event(&mut self) -> Value {
        let kind = |group: &str| json!({ "group": group, "version": "v1", "kind": "WatchEvent" });
        let kinds = vec![kind(""), kind(self.api.group)];
        self.handwritten(standard::WATCH_EVENT, &standard::watch_event(), kinds)
    }

    /// A reference to the body of a patch.
    pub(super) fn patch(&mut self) -> Value {
        self.handwritten(standard::PATCH, &standard::patch(), Vec::new())
    }

    /// The collected schemas by name.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let generated = self.generator.take_definitions(false);
        let mut schemas: Map<String, Value> = generated
            .iter()
            .map(|(name, schema)| (name.clone(), convert::object(self.version, schema)))
            .collect();
        schemas.extend(self.handwritten);
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

    fn handwritten(&mut self, name: &str, schema: &Value, kinds: Vec<Value>) -> Value {
        self.handwritten.insert(name.to_owned(), convert::object(self.version, schema));
        if !kinds.is_empty() {
            self.kinds.insert(name.to_owned(), kinds);
        }
        json!({ "$ref": format!("#{}/{name}", schemas_path(self.version)) })
    }
}

/// The JSON pointer of the schemas in a document.
fn schemas_path(version: OpenApiVersion) -> &'static str {
    match version {
        OpenApiVersion::V2 => "/definitions",
        OpenApiVersion::V3 => "/components/schemas",
    }
}

/// The last segment of a reference.
fn name_of(reference: &Value) -> &str {
    let path =
        reference["$ref"].as_str().expect("schemas of kinds have names, so they are references");
    path.rsplit('/').next().unwrap_or(path)
}

fn with_description(reference: Schema, text: &str) -> Value {
    let mut reference = Value::from(reference);
    reference["description"] = text.into();
    reference
}
