//! Coercion of JSON values to a type, as Go decoders do it: `null` is the zero value in lists and
//! maps, and is ignored in structs.

use serde_json::{Map, Value};

use super::{Scalar, Shape, StructType};
use crate::machinery::go_fmt::{self, json_type_name};
use crate::meta::excerpt;

/// A value of another type than its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeMismatch {
    actual: ActualType,
    expected: String,
    kind: GoKind,
    /// The type that has the field, and the path of the field from the root.
    field: Option<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ActualType {
    json: String,
    go: &'static str,
    kind: &'static str,
}

/// Kinds of Go types that error messages distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GoKind {
    Scalar,
    Struct,
    Map,
    Slice,
    /// `runtime.RawExtension`: an object of any kind.
    RawExtension,
}

impl TypeMismatch {
    /// The error of Go's `encoding/json`.
    pub fn json_error(&self) -> String {
        let ActualType { json, .. } = &self.actual;
        if self.kind == GoKind::RawExtension {
            return self.type_meta_error();
        }
        let place = match &self.field {
            Some((owner, path)) => format!("struct field {owner}.{path}"),
            None => "value".into(),
        };
        format!("json: cannot unmarshal {json} into Go {place} of type {}", self.expected)
    }

    /// The error of `FromUnstructured` in `k8s.io/apimachinery/pkg/runtime/converter.go`.
    pub fn conversion_error(&self) -> String {
        let ActualType { go, kind, .. } = self.actual;
        match self.kind {
            GoKind::Scalar => format!("cannot convert {go} to {}", self.expected),
            GoKind::Struct => format!("cannot restore struct from: {kind}"),
            GoKind::RawExtension => self.type_meta_error(),
            GoKind::Map => format!("cannot restore map from {kind}"),
            GoKind::Slice => format!("cannot restore slice from {kind}"),
        }
    }

    /// The error for a value of a field that holds an object of any kind.
    fn type_meta_error(&self) -> String {
        go_fmt::no_type_meta(&go_fmt::not_a_struct(&self.actual.json))
    }
}

/// Converts a value to the form that its type reads. Unknown keys stay.
///
/// # Errors
/// The first part with another type than its shape.
pub fn coerce(value: &mut Value, shape: &Shape) -> Result<(), TypeMismatch> {
    FieldPath { owner: "", name: "", parent: None }.coerce(value, shape)
}

/// As [`coerce`], for a value of `unstructured.Unstructured`: a floating-point number without a
/// fraction is an integer.
///
/// # Errors
/// The first part with another type than its shape.
pub fn coerce_unstructured(value: &mut Value, shape: &Shape) -> Result<(), TypeMismatch> {
    restore_integers(value, shape);
    coerce(value, shape)
}

fn restore_integers(value: &mut Value, shape: &Shape) {
    /// 2^63, the first integer that does not fit.
    const END: f64 = 9_223_372_036_854_775_808.0;
    match (shape, value) {
        (Shape::Struct(_, fields), Value::Object(values)) => {
            for (name, value) in values {
                if let Some(field) = fields.by_name.get(name) {
                    restore_integers(value, &field.shape);
                }
            }
        }
        (Shape::Map(_, shape), Value::Object(values)) => {
            values.values_mut().for_each(|value| restore_integers(value, shape));
        }
        (Shape::List(_, shape), Value::Array(values)) => {
            values.iter_mut().for_each(|value| restore_integers(value, shape));
        }
        (Shape::Scalar(Scalar::Integer), Value::Number(number)) if number.is_f64() => {
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < END);
            if let Some(float) = float {
                *number = (float as i64).into();
            }
        }
        _ => {}
    }
}

/// Path to a value. The text of the path is built for errors only.
struct FieldPath<'a> {
    /// The type that has the field; empty at the root.
    owner: &'a str,
    name: &'a str,
    parent: Option<&'a FieldPath<'a>>,
}

impl FieldPath<'_> {
    fn coerce(&self, value: &mut Value, shape: &Shape) -> Result<(), TypeMismatch> {
        match (shape, value) {
            (Shape::Untyped, _) => Ok(()),
            (Shape::Struct(_, fields), Value::Object(values)) => self.coerce_fields(values, fields),
            (Shape::Map(_, shape), Value::Object(values)) => {
                values.values_mut().try_for_each(|value| self.element(value, shape))
            }
            (Shape::List(_, shape), Value::Array(values)) => {
                values.iter_mut().try_for_each(|value| self.element(value, shape))
            }
            (Shape::Scalar(Scalar::String), Value::String(_))
            | (Shape::Scalar(Scalar::Boolean), Value::Bool(_))
            | (Shape::Scalar(Scalar::Number), Value::Number(_)) => Ok(()),
            (Shape::Scalar(Scalar::Integer), Value::Number(number)) if number.is_i64() => Ok(()),
            (shape, value) => Err(self.mismatch(value, shape)),
        }
    }

    fn coerce_fields(
        &self,
        values: &mut Map<String, Value>,
        fields: &StructType,
    ) -> Result<(), TypeMismatch> {
        values.retain(|_, value| !value.is_null());
        let owner = fields.type_name.rsplit('.').next().unwrap_or_default();
        for (name, value) in values {
            if let Some(field) = fields.by_name.get(name) {
                FieldPath { owner, name, parent: Some(self) }.coerce(value, &field.shape)?;
            }
        }
        Ok(())
    }

    /// Coerces an element of a list or a map. Errors have the path of the list or map.
    fn element(&self, value: &mut Value, shape: &Shape) -> Result<(), TypeMismatch> {
        if value.is_null() {
            *value = zero_value(shape);
        }
        self.coerce(value, shape)
    }

    fn path(&self) -> String {
        match self.parent {
            Some(parent) if parent.parent.is_some() => format!("{}.{}", parent.path(), self.name),
            _ => self.name.to_owned(),
        }
    }

    fn mismatch(&self, value: &Value, shape: &Shape) -> TypeMismatch {
        let (go, kind) = match value {
            Value::Null => ("<nil>", "invalid"),
            Value::Bool(_) => ("bool", "bool"),
            Value::Number(number) if number.is_i64() => ("int64", "int64"),
            Value::Number(_) => ("float64", "float64"),
            Value::String(_) => ("string", "string"),
            Value::Array(_) => ("[]interface {}", "slice"),
            Value::Object(_) => ("map[string]interface {}", "map"),
        };
        let json = match (shape, value) {
            (Shape::Scalar(Scalar::Integer), Value::Number(number)) => {
                format!("number {}", excerpt::of(number))
            }
            _ => json_type_name(value).to_owned(),
        };
        let expected_kind = match shape {
            Shape::Scalar(_) | Shape::Untyped => GoKind::Scalar,
            Shape::Struct(..) => GoKind::Struct,
            Shape::Map(_, values) if **values == Shape::Untyped => GoKind::RawExtension,
            Shape::Map(..) => GoKind::Map,
            Shape::List(..) => GoKind::Slice,
        };
        let field = self.parent.map(|_| (self.owner.to_owned(), self.path()));
        TypeMismatch {
            actual: ActualType { json, go, kind },
            expected: type_name(shape),
            kind: expected_kind,
            field,
        }
    }
}

/// The zero value of a shape.
fn zero_value(shape: &Shape) -> Value {
    match shape {
        Shape::Untyped => Value::Null,
        Shape::Struct(..) | Shape::Map(..) => Value::Object(Map::new()),
        Shape::List(..) => Value::Array(Vec::new()),
        Shape::Scalar(Scalar::String) => "".into(),
        Shape::Scalar(Scalar::Boolean) => false.into(),
        Shape::Scalar(Scalar::Number | Scalar::Integer) => 0.into(),
    }
}

/// Name of a type in errors of Go.
fn type_name(shape: &Shape) -> String {
    match shape {
        Shape::Untyped => "interface {}".into(),
        Shape::Struct(_, fields) => fields.type_name.clone(),
        Shape::Map(_, values) => format!("map[string]{}", type_name(values)),
        Shape::List(_, items) => format!("[]{}", type_name(items)),
        Shape::Scalar(Scalar::String) => "string".into(),
        Shape::Scalar(Scalar::Boolean) => "bool".into(),
        Shape::Scalar(Scalar::Integer) => "int64".into(),
        Shape::Scalar(Scalar::Number) => "float64".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Image, ImageStream};
    use crate::machinery::schema::Schema;
    use serde_json::json;

    fn mismatch(mut value: Value) -> TypeMismatch {
        coerce(&mut value, &Schema::of::<ImageStream>().root).unwrap_err()
    }

    #[test]
    fn errors_name_the_first_field_of_a_wrong_type() {
        for (value, json_error, conversion_error) in [
            (
                json!({"metadata": []}),
                "array into Go struct field ImageStream.metadata of type v1.ObjectMeta",
                "cannot restore struct from: slice",
            ),
            (
                json!({"metadata": {"labels": {"a": 1}}}),
                "number into Go struct field ObjectMeta.metadata.labels of type string",
                "cannot convert int64 to string",
            ),
            (
                json!({"metadata": {"labels": "x"}}),
                "string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
                "cannot restore map from string",
            ),
            (
                json!({"metadata": {"ownerReferences": {}}}),
                "object into Go struct field ObjectMeta.metadata.ownerReferences of type []v1.OwnerReference",
                "cannot restore slice from map",
            ),
            (
                json!({"spec": {"tags": [{"name": "a"}, {"name": "b", "generation": 1.5}]}}),
                "number 1.5 into Go struct field TagReference.spec.tags.generation of type int64",
                "cannot convert float64 to int64",
            ),
            (
                json!({"spec": {"tags": [{"from": {"kind": true}}]}}),
                "bool into Go struct field ObjectReference.spec.tags.from.kind of type string",
                "cannot convert bool to string",
            ),
        ] {
            let mismatch = mismatch(value);
            assert_eq!(mismatch.json_error(), format!("json: cannot unmarshal {json_error}"));
            assert_eq!(mismatch.conversion_error(), conversion_error);
        }
    }

    #[test]
    fn whole_floats_are_integers_in_unstructured_values() {
        let shape = Schema::of::<ImageStream>().root;
        let stream = |number: f64| json!({"spec": {"tags": [{"name": "a", "generation": number}]}});
        let mut value = stream(1.5e6);
        coerce_unstructured(&mut value, &shape).unwrap();
        assert_eq!(value["spec"]["tags"][0]["generation"], json!(1_500_000));
        assert!(coerce(&mut stream(1.5e6), &shape).is_err());
        for number in [1.5, 1e19] {
            let mismatch = coerce_unstructured(&mut stream(number), &shape).unwrap_err();
            assert_eq!(mismatch.conversion_error(), "cannot convert float64 to int64");
        }
    }

    #[test]
    fn raw_extensions_must_be_objects() {
        let mut image = json!({"dockerImageMetadata": "text"});
        let message = coerce(&mut image, &Schema::of::<Image>().root).unwrap_err().json_error();
        assert!(
            message.starts_with(
                "couldn't get version/kind; json parse error: json: cannot unmarshal string"
            ),
            "{message}"
        );
    }

    #[test]
    fn nulls_become_zero_values_or_missing_fields() {
        let mut value = json!({
            "metadata": {"labels": {"a": null}, "finalizers": [null], "annotations": null},
            "spec": {"tags": [null, {"name": "x", "from": null}]},
            "unknown": null,
        });
        coerce(&mut value, &Schema::of::<ImageStream>().root).unwrap();
        let coerced = json!({
            "metadata": {"labels": {"a": ""}, "finalizers": [""]},
            "spec": {"tags": [{}, {"name": "x"}]},
        });
        assert_eq!(value, coerced);
    }
}
