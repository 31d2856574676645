//! `SecretList`: the image pull secrets of a namespace.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::Error;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{object, protobuf};
use crate::meta::protobuf::MessageDescriptor;
use crate::meta::{Base64, Kind, ListMeta, ObjectMeta};

/// SecretList is a list of the secrets of a namespace with credentials for registries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "com.github.openshift.api.image.v1.SecretList")]
pub struct SecretList {
    /// Standard list metadata. Only resourceVersion is set.
    #[schemars(with = "ListMeta")]
    pub metadata: ObjectMeta,
    /// Items is the list of secrets.
    #[serde(serialize_with = "without_kinds")]
    #[schemars(with = "Vec<SecretSchema>", extend("required" = true))]
    pub items: Vec<Secret>,
}

object!(SecretList);

/// Schema of a secret in OpenAPI.
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
            "description": "Secret holds sensitive data such as credentials.",
            "properties": {
                "metadata": described(generator.subschema_for::<ObjectMeta>(), "Standard object metadata."),
                "data": described(generator.subschema_for::<BTreeMap<String, Base64>>(), "Data is a map of base64-encoded values."),
                "stringData": described(
                    generator.subschema_for::<BTreeMap<String, String>>(),
                    "StringData is a map of unencoded values. Write-only; never returned by the API.",
                ),
                "immutable": described(generator.subschema_for::<bool>(), "Immutable is true if data and stringData cannot be changed."),
                "type": described(generator.subschema_for::<String>(), "Type is the type of the secret, which determines the keys of its data."),
            },
        })
    }
}

impl Kind for SecretList {
    const KIND: &'static str = "SecretList";
    const MESSAGE: &'static MessageDescriptor = &protobuf::SECRET_LIST;
}

/// Omits `apiVersion` and `kind` of the items, as in every Kubernetes list.
fn without_kinds<S: Serializer>(items: &[Secret], serializer: S) -> Result<S::Ok, S::Error> {
    let bare = items.iter().map(|item| {
        let mut item = serde_json::to_value(item)?;
        if let Some(fields) = item.as_object_mut() {
            fields.retain(|name, _| name != "apiVersion" && name != "kind");
        }
        Ok(item)
    });
    let bare: Vec<Value> =
        bare.collect::<Result<_, serde_json::Error>>().map_err(S::Error::custom)?;
    bare.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_have_no_type_meta() {
        let item = json!({"metadata": {"name": "pull"}, "type": "kubernetes.io/dockercfg", "data": {".dockercfg": "e30="}});
        let list: SecretList =
            serde_json::from_value(json!({"metadata": {}, "items": [item]})).unwrap();
        let written = serde_json::to_value(&list).unwrap();
        assert_eq!(written["items"], json!([item]));
        assert_eq!(serde_json::from_value::<SecretList>(written).unwrap(), list);
    }
}
