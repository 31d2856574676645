//! Derivation of a [`Shape`] from a Rust type by way of the JSON schema that schemars generates.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::{ListKey, ListType, MapType, PatchStrategy, Scalar, Shape, StructField, StructType};

/// The shape of `T` as it is serialized. Recursive types are not supported.
pub(super) fn shape_of<T: JsonSchema>() -> Shape {
    let settings = SchemaSettings::draft07().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>().as_value().clone();
    let definitions =
        schema.as_object_mut().and_then(|root| root.remove("definitions")).unwrap_or_default();
    set_title(&mut schema, &T::schema_name());
    inline(&mut schema, &definitions);
    read(&schema)
}

/// Replaces references by the definitions of their types, with the type name as title.
fn inline(schema: &mut Value, definitions: &Value) {
    if let Some(object) = schema.as_object_mut()
        && let Some(name) = take_reference(object)
    {
        let mut definition = definitions[&name].clone();
        set_title(&mut definition, &name);
        if let Some(definition) = definition.as_object_mut() {
            definition.extend(std::mem::take(object));
        }
        *schema = definition;
    }
    match schema {
        Value::Object(fields) => fields.values_mut().for_each(|field| inline(field, definitions)),
        Value::Array(items) => items.iter_mut().for_each(|item| inline(item, definitions)),
        _ => {}
    }
}

/// Removes the reference to a type from a schema that holds only that and annotations, and returns
/// the name of the type.
fn take_reference(schema: &mut Map<String, Value>) -> Option<String> {
    let key = if schema.contains_key("$ref") { "$ref" } else { "allOf" };
    let reference = match schema.get(key)? {
        Value::Array(all) => all.first()?.get("$ref")?,
        one => one,
    };
    let name = reference.as_str()?.strip_prefix("#/definitions/")?.to_owned();
    schema.remove(key);
    Some(name)
}

fn set_title(schema: &mut Value, name: &str) {
    schema["title"] = name.into();
}

fn read(schema: &Value) -> Shape {
    let Some(object) = schema.as_object() else { return Shape::Untyped };
    let schema = non_null_choice(object).unwrap_or(object);
    match type_of(schema) {
        Some("string") => Shape::Scalar(Scalar::String),
        Some("integer") => Shape::Scalar(Scalar::Integer),
        Some("number") => Shape::Scalar(Scalar::Number),
        Some("boolean") => Shape::Scalar(Scalar::Boolean),
        Some("array") => list(object, schema),
        Some("object") => map(schema),
        _ => Shape::Untyped,
    }
}

/// The other choice of an `anyOf` with `null`.
fn non_null_choice(schema: &Map<String, Value>) -> Option<&Map<String, Value>> {
    let choices = schema.get("anyOf")?.as_array()?;
    choices.iter().filter_map(Value::as_object).find(|choice| type_of(choice) != Some("null"))
}

/// The type of a schema; the one that is not `null` if there are several.
fn type_of(schema: &Map<String, Value>) -> Option<&str> {
    match schema.get("type")? {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        one => one.as_str(),
    }
}

/// Returns true for the schema of an `Option`.
fn allows_null(schema: &Map<String, Value>) -> bool {
    let is_null = |schema: &Value| schema["type"] == "null";
    let has = |key: &str, found: &dyn Fn(&Value) -> bool| {
        schema.get(key).and_then(Value::as_array).is_some_and(|all| all.iter().any(found))
    };
    has("anyOf", &is_null) || has("type", &|name| name == "null")
}

fn text<'a>(schema: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    schema.get(key).and_then(Value::as_str)
}

fn map(schema: &Map<String, Value>) -> Shape {
    let map_type = match text(schema, "x-kubernetes-map-type") {
        Some("atomic") => MapType::Atomic,
        _ => MapType::Granular,
    };
    let keeps_unknown =
        schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    match (schema.get("properties").and_then(Value::as_object), schema.get("additionalProperties"))
    {
        (Some(fields), None | Some(Value::Bool(false))) if !keeps_unknown => {
            structure(map_type, schema, fields)
        }
        (None, Some(values @ Value::Object(_))) => Shape::Map(map_type, Box::new(read(values))),
        (None, Some(Value::Bool(false))) if !keeps_unknown => {
            structure(map_type, schema, &Map::new())
        }
        _ if map_type == MapType::Atomic => Shape::Map(map_type, Box::new(Shape::Untyped)),
        _ => Shape::Untyped,
    }
}

/// The shape of a struct. Types with metadata get `kind` and `apiVersion`, which the Rust types
/// leave out.
fn structure(map_type: MapType, schema: &Map<String, Value>, fields: &Map<String, Value>) -> Shape {
    const TYPE_META: [&str; 2] = ["kind", "apiVersion"];
    let string = || StructField {
        shape: Shape::Scalar(Scalar::String),
        patch: PatchStrategy::Plain,
        is_optional: false,
    };
    let named = TYPE_META
        .into_iter()
        .filter(|_| fields.contains_key("metadata"))
        .map(|name| (name.to_owned(), string()));
    let by_name =
        fields.iter().map(|(name, schema)| (name.clone(), field(schema))).chain(named).collect();
    Shape::Struct(
        map_type,
        StructType { type_name: short(text(schema, "title").unwrap_or_default()), by_name },
    )
}

/// Package and name of a type: the last two components of its full name.
fn short(name: &str) -> String {
    let start = name.rmatch_indices('.').nth(1).map_or(0, |(dot, _)| dot + 1);
    name[start..].to_owned()
}

fn field(schema: &Value) -> StructField {
    let none = Map::new();
    let extensions = schema.as_object().unwrap_or(&none);
    let patch = match text(extensions, "x-kubernetes-patch-strategy") {
        Some("merge") => PatchStrategy::Merge(
            text(extensions, "x-kubernetes-patch-merge-key").map(str::to_owned),
        ),
        Some("replace") => PatchStrategy::Replace,
        _ => PatchStrategy::Plain,
    };
    StructField { shape: read(schema), patch, is_optional: allows_null(extensions) }
}

/// The shape of a list. The list type is an annotation of the field. Lists that strategic merge
/// patches merge are granular by default.
fn list(field: &Map<String, Value>, schema: &Map<String, Value>) -> Shape {
    let items = schema.get("items").unwrap_or(&Value::Null);
    let key = text(field, "x-kubernetes-patch-merge-key");
    let merges = text(field, "x-kubernetes-patch-strategy") == Some("merge");
    let list_type = match (text(field, "x-kubernetes-list-type"), key) {
        (Some("map"), _) => ListType::Map(list_keys(field, items)),
        (Some("set"), _) => ListType::Set,
        (None, Some(key)) if merges => ListType::Map(vec![list_key(key, items)]),
        (None, None) if merges => ListType::Set,
        _ => ListType::Atomic,
    };
    Shape::List(list_type, Box::new(read(items)))
}

fn list_keys(field: &Map<String, Value>, items: &Value) -> Vec<ListKey> {
    let keys = field.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let mut keys: Vec<_> = keys.into_iter().flatten().filter_map(Value::as_str).collect();
    keys.sort_unstable();
    keys.into_iter().map(|key| list_key(key, items)).collect()
}

fn list_key(name: &str, items: &Value) -> ListKey {
    ListKey { name: name.to_owned(), default: items["properties"][name].get("default").cloned() }
}
