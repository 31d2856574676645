//! Schemas of API types for patches and server-side apply: fields, merge strategies of lists and
//! maps, and the granularity of ownership.

mod coerce;
mod json_schema;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::meta::Kind;

pub use coerce::{TypeMismatch, coerce, coerce_unstructured};

/// The schema of a kind.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The kind.
    pub kind: &'static str,
    /// An object of the kind with all fields unset. Fields that hold an object of any kind are
    /// missing: Go leaves them empty, while the default of their Rust type has values.
    pub empty: Value,
    /// The shape of the whole object.
    pub root: Shape,
}

/// The shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A scalar.
    Scalar(Scalar),
    /// Any value.
    Untyped,
    /// An object with known fields.
    Struct(MapType, StructType),
    /// An object with arbitrary keys and values of one shape.
    Map(MapType, Box<Shape>),
    /// A list of values of one shape.
    List(ListType, Box<Shape>),
}

/// A struct type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StructType {
    /// Package and name of the Go type, for example `v1.ObjectMeta`. Part of error messages.
    pub type_name: String,
    /// The fields by name.
    pub by_name: BTreeMap<String, StructField>,
}

/// The type of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A string.
    String,
    /// Any number.
    Number,
    /// A number without a fraction.
    Integer,
    /// A boolean.
    Boolean,
}

/// Granularity of ownership in an object (`x-kubernetes-map-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    /// Fields have separate owners.
    Granular,
    /// The object has one owner.
    Atomic,
}

/// Granularity of ownership in a list (`x-kubernetes-list-type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListType {
    /// The list has one owner.
    Atomic,
    /// Items are unique scalars with separate owners.
    Set,
    /// Items are objects with separate owners, identified by these keys.
    Map(Vec<ListKey>),
}

/// A key of an associative list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListKey {
    /// Name of the key field.
    pub name: String,
    /// Value for items without the key; none if the key is required.
    pub default: Option<Value>,
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructField {
    /// The shape of its value.
    pub shape: Shape,
    /// Its merge strategy in strategic merge patches.
    pub patch: PatchStrategy,
    /// The field is a pointer in Go: `null` unsets it.
    pub is_optional: bool,
}

/// Strategic merge of a field (`x-kubernetes-patch-strategy`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PatchStrategy {
    /// Merges objects and replaces lists.
    #[default]
    Plain,
    /// Replaces objects and lists.
    Replace,
    /// Merges lists: objects by the value of this key, scalars as a set.
    Merge(Option<String>),
}

impl Schema {
    /// Derives the schema from the Rust type `T`.
    ///
    /// # Panics
    /// Never for the types of this crate: they have string keys and their serializers do not fail.
    pub fn of<T: Kind>() -> Self {
        let root = json_schema::shape_of::<T>();
        let mut empty = serde_json::to_value(T::default())
            .expect("keys are strings and serializers do not fail");
        if let Some(fields) = empty.as_object_mut() {
            fields.retain(|name, _| !root.value(name).is_some_and(Shape::is_raw));
        }
        Self { kind: T::KIND, empty, root }
    }
}

impl Shape {
    /// Returns true for the shape of an object of any kind (`runtime.RawExtension`).
    pub fn is_raw(&self) -> bool {
        matches!(self, Self::Map(_, values) if **values == Self::Untyped)
    }

    /// The field of a struct; none for other shapes.
    pub fn field(&self, name: &str) -> Option<&StructField> {
        match self {
            Self::Struct(_, fields) => fields.by_name.get(name),
            _ => None,
        }
    }

    /// The shape of the value at a key; none if the shape does not have the key.
    pub fn value(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Struct(_, fields) => fields.by_name.get(key).map(|field| &field.shape),
            Self::Map(_, values) => Some(values),
            Self::Untyped => Some(self),
            Self::Scalar(_) | Self::List(..) => None,
        }
    }
}

#[cfg(test)]
mod tests;
