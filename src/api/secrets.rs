//! `SecretList`: the secrets that images of a namespace can be pulled with.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::object;
use crate::meta::{Base64, Kind, ListMeta, ObjectMeta};

/// Secrets of a namespace, as the core API has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.SecretList")]
pub struct SecretList {
    /// Metadata of a list; of its fields only the resourceVersion is ever set.
    #[schemars(with = "ListMeta")]
    pub metadata: ObjectMeta,
    /// The secrets, with what they hold.
    #[schemars(with = "Vec<SecretSchema>", extend("required" = true))]
    pub items: Vec<Secret>,
}

object!(SecretList);

/// What OpenAPI says of a secret.
struct SecretSchema;

impl JsonSchema for SecretSchema {
    fn schema_name() -> Cow<'static, str> {
        "io.k8s.api.core.v1.Secret".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let described = |schema: Schema, text: &str| {
            let mut schema = schema;
            schema.insert("description".into(), text.into());
            schema
        };
        json_schema!({
            "type": "object",
            "description": "Credentials and other data that only few may see.",
            "properties": {
                "metadata": described(generator.subschema_for::<ObjectMeta>(), "Standard object metadata."),
                "data": described(generator.subschema_for::<BTreeMap<String, Base64>>(), "What is kept secret."),
                "stringData": described(
                    generator.subschema_for::<BTreeMap<String, String>>(),
                    "More of it as plain text, for writing only.",
                ),
                "immutable": described(generator.subschema_for::<bool>(), "Whether the data can never be changed."),
                "type": described(generator.subschema_for::<String>(), "What the data is for, and which keys it has."),
            },
        })
    }
}

impl Kind for SecretList {
    const KIND: &'static str = "SecretList";
}
