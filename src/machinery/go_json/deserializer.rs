//! [`JsonReader`] as a deserializer of serde.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::reader::JsonKind;
use super::{GoJsonError, JsonReader};

/// Maximum nesting of a value that is built, which takes stack. Skipped values may be deeper.
const MAX_DEPTH: usize = 128;

impl Error for GoJsonError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

impl<'de> Deserializer<'de> for &mut JsonReader<'de> {
    type Error = GoJsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GoJsonError> {
        match self.kind() {
            JsonKind::Null => {
                self.skip();
                visitor.visit_unit()
            }
            JsonKind::Bool => visitor.visit_bool(self.bool()),
            JsonKind::Number => visit_number(self.number(), visitor),
            JsonKind::Text => match self.string() {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            JsonKind::List => self.nested(|reader| visitor.visit_seq(Elements(reader))),
            JsonKind::Object => self.nested(|reader| visitor.visit_map(Elements(reader))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GoJsonError> {
        match self.kind() {
            JsonKind::Null => {
                self.skip();
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GoJsonError> {
        self.skip();
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}

/// Visits a number: an `int64` if it is one, else a `float64`.
///
/// A number that is out of range becomes the largest one, because fields that nobody reads may
/// have any number, and no field that is read has floating-point numbers.
fn visit_number<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, GoJsonError> {
    match text.parse::<i64>() {
        Ok(number) => visitor.visit_i64(number),
        Err(_) => {
            let number: f64 = text.parse().map_err(GoJsonError::custom)?;
            visitor.visit_f64(number.clamp(f64::MIN, f64::MAX))
        }
    }
}

impl<'de> JsonReader<'de> {
    fn nested<T>(
        &mut self,
        visit: impl FnOnce(&mut Self) -> Result<T, GoJsonError>,
    ) -> Result<T, GoJsonError> {
        if self.depth == MAX_DEPTH {
            return Err(GoJsonError(format!("the value is nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        self.begin();
        let visited = visit(self);
        self.depth -= 1;
        visited
    }
}

/// The elements of a list or an object.
struct Elements<'r, 'de>(&'r mut JsonReader<'de>);

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = GoJsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, GoJsonError> {
        match self.0.next_item() {
            true => seed.deserialize(&mut *self.0).map(Some),
            false => Ok(None),
        }
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = GoJsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, GoJsonError> {
        match self.0.next_key() {
            None => Ok(None),
            Some(Cow::Borrowed(key)) => {
                seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
            }
            Some(Cow::Owned(key)) => seed.deserialize(StringDeserializer::new(key)).map(Some),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, GoJsonError> {
        seed.deserialize(&mut *self.0)
    }
}
