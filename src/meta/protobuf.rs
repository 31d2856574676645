//! Descriptors of protobuf messages, and those of the kinds that every API server has.
//!
//! A descriptor maps each field of the JSON form to its number, type and cardinality. The numbers
//! are those of the `generated.proto` files in Kubernetes. Encoding and decoding live in
//! `machinery::protobuf`.

mod core;
mod meta_v1;
mod unknown_fields;

pub use self::core::{LOCAL_OBJECT_REFERENCE, OBJECT_REFERENCE, SECRET};
pub use self::meta_v1::{
    API_GROUP, API_GROUP_LIST, API_RESOURCE_LIST, API_VERSIONS, DELETE_OPTIONS, LIST_META,
    OBJECT_META, PARTIAL_OBJECT_METADATA, STATUS,
};
pub use self::unknown_fields::UnknownFields;

/// A message: an object with a fixed set of fields.
#[derive(Debug)]
pub struct MessageDescriptor {
    /// Message name. For API objects this is the kind.
    pub name: &'static str,
    /// Fields in ascending order of their numbers, which is the order on the wire.
    pub fields: &'static [FieldDescriptor],
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub struct FieldDescriptor {
    /// Field number.
    pub number: u32,
    /// JSON key.
    pub name: &'static str,
    /// Type of the value, or of each value of a repeated field or map.
    pub field_type: FieldType,
    /// Number of occurrences on the wire.
    pub cardinality: Cardinality,
}

/// Type of a value.
#[derive(Clone, Copy, Debug)]
pub enum FieldType {
    /// UTF-8 text.
    String,
    /// Varint. Negative values take ten bytes.
    Int64,
    /// Varint 0 or 1.
    Bool,
    /// Bytes; base64 in JSON.
    Bytes,
    /// `metav1.Time`: a message with seconds (1) and nanoseconds (2, always 0); empty for the zero
    /// time.
    Time,
    /// Any JSON, as bytes in field 1 of a message.
    Json,
    /// Like [`Json`](Self::Json), followed by a newline, as Go's JSON encoder writes it.
    JsonLine,
    /// A nested message.
    Message(&'static MessageDescriptor),
    /// An embedded Go struct: a nested message on the wire, whose fields belong to the enclosing
    /// object in JSON. The field has no JSON key.
    Inline(&'static MessageDescriptor),
    /// A list of strings in field 1 of a message of its own, such as `Verbs` of `APIResource`.
    StringList,
}

/// Number of occurrences of a field on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// Exactly one; the zero value stands for an unset field. A non-pointer field in Go.
    Required,
    /// One if the field is set. A pointer in Go.
    Optional,
    /// One per list item.
    Repeated,
    /// One per map entry, as a message with key (1) and value (2).
    Map,
}

/// Returns a field that is always written.
pub const fn required(number: u32, name: &'static str, field_type: FieldType) -> FieldDescriptor {
    FieldDescriptor { number, name, field_type, cardinality: Cardinality::Required }
}

/// Returns a field that is written if it is set.
pub const fn optional(number: u32, name: &'static str, field_type: FieldType) -> FieldDescriptor {
    FieldDescriptor { number, name, field_type, cardinality: Cardinality::Optional }
}

/// Returns a field for a list.
pub const fn repeated(number: u32, name: &'static str, field_type: FieldType) -> FieldDescriptor {
    FieldDescriptor { number, name, field_type, cardinality: Cardinality::Repeated }
}

/// Returns a field for a map with string keys.
pub const fn map(number: u32, name: &'static str, field_type: FieldType) -> FieldDescriptor {
    FieldDescriptor { number, name, field_type, cardinality: Cardinality::Map }
}

impl MessageDescriptor {
    /// Returns the fields with a JSON key. An inline message is replaced by its own fields.
    pub fn keys(&self) -> impl Iterator<Item = &'static FieldDescriptor> {
        self.fields.iter().flat_map(FieldDescriptor::keys)
    }
}

impl FieldDescriptor {
    /// Returns the fields that stand for this one in JSON.
    fn keys(&'static self) -> &'static [Self] {
        match self.field_type {
            FieldType::Inline(message) => message.fields,
            _ => std::slice::from_ref(self),
        }
    }
}
