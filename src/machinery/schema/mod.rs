//! What a kind looks like, for what edits JSON: which fields there are, how lists and maps merge, who may own what.

mod coerce;
mod json_schema;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::meta::Kind;

pub use coerce::{TypeMismatch, coerce};

/// The shape of a kind. Made once by whoever serves the kind.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The kind as it stands in `kind`.
    pub kind: &'static str,
    /// An object of the kind of which nobody has set anything.
    pub empty: Value,
    /// The shape of the whole object.
    pub root: Shape,
}

/// The shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A single value.
    Scalar(Scalar),
    /// Anything at all.
    Untyped,
    /// An object with known fields.
    Struct(MapType, StructType),
    /// An object with keys of any name and values of one shape.
    Map(MapType, Box<Shape>),
    /// A list of values of one shape.
    List(ListType, Box<Shape>),
}

/// The fields of an object, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StructType {
    /// Package and name of their type as errors tell it, for example `v1.ObjectMeta`.
    pub type_name: String,
    /// The fields.
    pub by_name: BTreeMap<String, StructField>,
}

/// The type of a single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    String,
    /// A number, whole or not.
    Number,
    /// A whole number.
    Integer,
    /// A truth value.
    Boolean,
}

/// Whether the parts of an object can have different owners; `x-kubernetes-map-type` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    /// Each part has its own.
    Granular,
    /// The object is owned as a whole.
    Atomic,
}

/// How a list is owned; `x-kubernetes-list-type` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListType {
    /// As a whole.
    Atomic,
    /// Each item on its own; items are single values, each at most once.
    Set,
    /// Each item on its own; items are objects, told apart by these fields of theirs.
    Map(Vec<ListKey>),
}

/// A field that tells the items of a list apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListKey {
    /// Its name.
    pub name: String,
    /// The value that it has in an item without it; none if every item must have it.
    pub default: Option<Value>,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructField {
    /// The shape of its value.
    pub shape: Shape,
    /// What a strategic merge patch does with it.
    pub patch: PatchStrategy,
}

/// What a strategic merge patch does with a field; `x-kubernetes-patch-strategy` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PatchStrategy {
    /// Objects are merged, lists replaced.
    #[default]
    Plain,
    /// Objects and lists are replaced.
    Replace,
    /// Lists are merged: of objects by the value of a key, of single values as a set.
    Merge(Option<String>),
}

impl Schema {
    /// The shape of `T`, read off its Rust type.
    ///
    /// # Panics
    /// Never for the types of this crate: all of them have JSON forms.
    pub fn of<T: Kind>() -> Self {
        let empty = serde_json::to_value(T::default()).expect("objects have text keys and no failing serializers");
        Self { kind: T::KIND, empty, root: json_schema::shape_of::<T>() }
    }
}

impl Shape {
    /// The field of this name, of an object with known fields.
    pub fn field(&self, name: &str) -> Option<&StructField> {
        match self {
            Self::Struct(_, fields) => fields.by_name.get(name),
            _ => None,
        }
    }

    /// The shape of the value under a key of an object; none if the object cannot have the key.
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
