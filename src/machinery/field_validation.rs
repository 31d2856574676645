//! `fieldValidation`: detection of unknown and duplicate fields in a body, as the strict decoders
//! of `sigs.k8s.io/json` and `sigs.k8s.io/yaml`.
//!
//! The text of a body is checked against the schema in one pass, without building values.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

use crate::machinery::go_json::JsonText;
use crate::machinery::go_yaml::{self, YamlDocument};
use crate::machinery::media_type;
use crate::machinery::schema::{Schema, Shape};
use crate::meta::Limited;
use crate::meta::field::quote;

/// Handling of unknown and duplicate fields, from the query parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Accepts them silently.
    Ignore,
    /// Accepts them and sends a warning for each.
    #[default]
    Warn,
    /// Rejects the request.
    Strict,
}

/// Prefix of errors from the YAML reader of Kubernetes.
const YAML_ERRORS: &str = "yaml: unmarshal errors:\n  ";
/// Separator of errors from the YAML reader of Kubernetes.
const YAML_SEPARATOR: &str = "\n  ";
/// Last entry of a list of errors that reached its limit.
const OMITTED: &str = "and more, which are not shown";
/// Maximum length of all error paths after the first error, in bytes. A single path may be long and
/// have many errors.
const MAX_PATH_BYTES: usize = 1 << 20;

/// Unknown and duplicate fields in a request body. Empty for a body that cannot be decoded.
///
/// `content_type` is that of the request; empty means JSON.
pub fn strict_errors(content_type: &str, body: &[u8], schema: &Schema) -> Limited<String> {
    if !media_type::essence(content_type).eq_ignore_ascii_case("application/yaml") {
        return json_strict_errors(body, &schema.root);
    }
    let Ok(document) = go_yaml::read(body) else { return Limited::default() };
    let mut errors: Limited<String> = yaml_duplicate_keys(&document).into_iter().collect();
    errors.append(unknown_fields(&document.value, schema));
    errors
}

/// Unknown fields of a value.
pub fn unknown_fields(value: &Value, schema: &Schema) -> Limited<String> {
    let mut decoder = StrictDecoder::default();
    // Deserializing from a value in memory does not fail.
    let _ = CheckedValue { decoder: &mut decoder, allowed: AllowedFields::Shape(&schema.root) }
        .deserialize(value);
    decoder.errors
}

/// Unknown and duplicate fields in JSON of this shape.
pub(crate) fn json_strict_errors(body: &[u8], shape: &Shape) -> Limited<String> {
    json_errors(body, AllowedFields::Shape(shape))
}

/// Duplicate fields in JSON of any shape.
pub(crate) fn duplicate_fields(body: &[u8]) -> Limited<String> {
    json_errors(body, AllowedFields::Any)
}

/// The duplicate keys in a YAML document as one error, with the text of the YAML reader of
/// Kubernetes.
pub(crate) fn yaml_duplicate_keys(document: &YamlDocument) -> Option<String> {
    let keys = &document.duplicate_keys;
    (!keys.is_empty()).then(|| format!("{YAML_ERRORS}{}", keys.join(YAML_SEPARATOR)))
}

/// The errors as warnings of one line each.
pub fn warnings(errors: Limited<String>) -> Vec<String> {
    let more = errors.is_cut().then(|| OMITTED.to_owned());
    let lines = |error: String| match error.strip_prefix(YAML_ERRORS) {
        Some(lines) => lines.split(YAML_SEPARATOR).map(str::to_owned).collect(),
        None => vec![error],
    };
    errors.into_iter().flat_map(lines).chain(more).collect()
}

/// The errors as one sentence, as `strictDecodingError.Error` in `k8s.io/apimachinery/pkg/runtime`
/// formats them.
pub fn error_message(errors: &Limited<String>) -> String {
    format!("strict decoding error: {}", joined(errors))
}

/// The errors, separated by commas.
pub fn joined(errors: &Limited<String>) -> String {
    let more = if errors.is_cut() { format!(", {OMITTED}") } else { String::new() };
    errors.join(", ") + &more
}

fn json_errors(body: &[u8], allowed: AllowedFields<'_>) -> Limited<String> {
    let Ok(text) = JsonText::check(body) else { return Limited::default() };
    let mut decoder = StrictDecoder::default();
    match (CheckedValue { decoder: &mut decoder, allowed }).deserialize(&mut text.reader()) {
        Ok(()) => decoder.errors,
        Err(_) => Limited::default(),
    }
}

/// Fields that a value may have.
#[derive(Clone, Copy)]
enum AllowedFields<'a> {
    /// Fields of this shape.
    Shape(&'a Shape),
    /// Any field.
    Any,
}

impl<'a> AllowedFields<'a> {
    fn field(self, name: &str) -> Option<Self> {
        match self {
            Self::Any => Some(self),
            Self::Shape(shape) => shape.value(name).map(Self::Shape),
        }
    }

    fn item(self) -> Self {
        match self {
            Self::Shape(Shape::List(_, items)) => Self::Shape(items),
            other => other,
        }
    }

    /// Returns true for values that are stored as they are, including duplicate fields.
    fn is_opaque(self) -> bool {
        match self {
            Self::Shape(Shape::Map(_, values)) => **values == Shape::Untyped,
            Self::Shape(Shape::Untyped | Shape::Scalar(_)) => true,
            _ => false,
        }
    }
}

/// Current path and errors of a strict decoding.
#[derive(Default)]
struct StrictDecoder {
    path: String,
    errors: Limited<String>,
    /// Length of the paths of all errors in bytes, including duplicates that are not recorded.
    path_bytes: usize,
}

impl StrictDecoder {
    fn report(&mut self, what: &str) {
        self.path_bytes = self.path_bytes.saturating_add(self.path.len());
        // Always record the first error: the result depends on whether there is one.
        if self.path_bytes > MAX_PATH_BYTES && !self.errors.is_empty() {
            self.errors.cut();
            return;
        }
        let error = || format!("{what} {}", quote(&self.path));
        if self.errors.is_full() || !self.errors.contains(&error()) {
            self.errors.push_with(error);
        }
    }

    /// Calls `visit` with `step` appended to the path.
    fn at<R>(&mut self, step: fmt::Arguments<'_>, visit: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        let result = fmt::Write::write_fmt(&mut self.path, step).map(|()| visit(self));
        self.path.truncate(length);
        result.expect("writing to memory does not fail")
    }
}

/// Deserialization seed that checks a value and discards it.
struct CheckedValue<'w, 'a> {
    decoder: &'w mut StrictDecoder,
    allowed: AllowedFields<'a>,
}

impl<'de> DeserializeSeed<'de> for CheckedValue<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.allowed.is_opaque() {
            true => IgnoredAny::deserialize(deserializer).map(drop),
            false => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for CheckedValue<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (decoder, allowed) = (self.decoder, self.allowed.item());
        let mut at = 0;
        while decoder
            .at(format_args!("[{at}]"), |decoder| {
                items.next_element_seed(CheckedValue { decoder, allowed })
            })?
            .is_some()
        {
            at += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let (decoder, allowed) = (self.decoder, self.allowed);
        let mut seen: HashSet<String> = HashSet::new();
        while let Some(FieldName(name)) = fields.next_key()? {
            let dot = if decoder.path.is_empty() { "" } else { "." };
            decoder.at(format_args!("{dot}{name}"), |decoder| match allowed.field(&name) {
                None => {
                    decoder.report("unknown field");
                    fields.next_value::<IgnoredAny>().map(drop)
                }
                Some(allowed) => {
                    if seen.contains(&*name) {
                        decoder.report("duplicate field");
                    }
                    fields.next_value_seed(CheckedValue { decoder, allowed })
                }
            })?;
            seen.insert(name.into_owned());
        }
        Ok(())
    }
}

struct FieldName<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for FieldName<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldNameVisitor;
        impl<'de> Visitor<'de> for FieldNameVisitor {
            type Value = FieldName<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(FieldName(Cow::Borrowed(name)))
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(FieldName(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(FieldNameVisitor)
    }
}

#[cfg(test)]
mod tests;
