//! How objects look in protobuf: tables of messages, and those of the kinds that every API server has.
//!
//! A table says for each field of the JSON form which number it has, what its value looks like and when it is written. The
//! numbers are those of Kubernetes' `generated.proto` files. Nothing is read or written here.

mod core;
mod meta_v1;

pub use self::core::{LOCAL_OBJECT_REFERENCE, OBJECT_REFERENCE, SECRET};
pub use self::meta_v1::{
    API_GROUP, API_GROUP_LIST, API_RESOURCE_LIST, DELETE_OPTIONS, LIST_META, OBJECT_META, PARTIAL_OBJECT_METADATA,
    STATUS,
};

/// A message: an object whose fields are known.
#[derive(Debug)]
pub struct Message {
    /// Its name, which is the kind where it is one.
    pub name: &'static str,
    /// Its fields, in the order of their numbers, in which they are written.
    pub fields: &'static [Field],
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// Its key in JSON.
    pub name: &'static str,
    /// What its value, or each of its values, looks like.
    pub form: Form,
    /// When it is written, and how often.
    pub occurs: Occurs,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// Text.
    Text,
    /// A whole number; negative ones take ten bytes.
    Integer,
    /// A truth value.
    Flag,
    /// Bytes, which JSON has in base64.
    Bytes,
    /// A point in time: a message with seconds (1) and nanoseconds (2, always 0), or an empty one for the zero time.
    Time,
    /// Any JSON, as bytes in field 1 of a message.
    Json,
    /// The same with a newline behind it.
    JsonLine,
    /// A message.
    Message(&'static Message),
    /// A message whose fields stand in JSON among those of the message around it; the field has no key of its own.
    Inline(&'static Message),
    /// A list of texts, as field 1 of a message that has no other.
    Texts,
}

/// When a field is written, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurs {
    /// Once, with the zero value if it is not set: what is no pointer in Go.
    Always,
    /// Once, if it is set: what is a pointer in Go.
    IfSet,
    /// For each item of a list.
    Each,
    /// For each key of an object, as a message with key (1) and value (2).
    Keyed,
}

/// A field that is always written.
pub const fn always(number: u32, name: &'static str, form: Form) -> Field {
    Field { number, name, form, occurs: Occurs::Always }
}

/// A field that is written if it is set.
pub const fn if_set(number: u32, name: &'static str, form: Form) -> Field {
    Field { number, name, form, occurs: Occurs::IfSet }
}

/// A list.
pub const fn each(number: u32, name: &'static str, form: Form) -> Field {
    Field { number, name, form, occurs: Occurs::Each }
}

/// An object with keys of any name.
pub const fn keyed(number: u32, name: &'static str, form: Form) -> Field {
    Field { number, name, form, occurs: Occurs::Keyed }
}

impl Message {
    /// The fields by their keys in JSON: an inline message stands for its own fields.
    pub fn keys(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().flat_map(Field::keys)
    }
}

impl Field {
    /// The fields that stand in JSON for this one.
    fn keys(&'static self) -> &'static [Self] {
        match self.form {
            Form::Inline(message) => message.fields,
            _ => std::slice::from_ref(self),
        }
    }
}
