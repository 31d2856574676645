//! `fieldValidation`: fields of a body that the server does not know, or that are there twice.
//!
//! The text of a body is walked once beside the schema, without building anything of it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::machinery::schema::{Schema, Shape};
use crate::meta::Limited;
use crate::meta::field::quote;

/// What is done about such fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Nothing.
    Ignore,
    /// The client is warned.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

/// How YAML's reader begins to tell the faults of a text.
const YAML_FAULTS: &str = "yaml: unmarshal errors:\n  ";
/// What is said in the place of faults that a list has no room for.
const MORE: &str = "and more, which are not shown";
/// The most bytes of paths that are looked at for faults after the first one. A long path may have many, and a fault may
/// be there many times.
const MOST_PATH_BYTES: usize = 1 << 20;

/// The faults in the text of a body: fields that are not known, and fields that are there twice.
///
/// `content_type` is that of the request, empty for JSON. A body that cannot be read has none.
pub fn faults(content_type: &str, body: &[u8], schema: &Schema) -> Limited<String> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/yaml") {
        return text_faults(body, &schema.root);
    }
    let unknown = crate::machinery::value::yaml_value(body).map(|value| unknown_fields(&value, schema));
    let mut faults: Limited<String> = yaml_duplicate(body).into_iter().collect();
    faults.append(unknown.unwrap_or_default());
    faults
}

/// The fields of a value that are not known.
pub fn unknown_fields(value: &Value, schema: &Schema) -> Limited<String> {
    let mut walk = Walk::default();
    // A value in memory can always be walked.
    let _ = Part { walk: &mut walk, known: Known::Shape(&schema.root) }.deserialize(value);
    walk.faults
}

/// The faults in the text of JSON of this shape.
pub(crate) fn text_faults(body: &[u8], shape: &Shape) -> Limited<String> {
    json_faults(body, Known::Shape(shape))
}

/// The fields that are twice in the text of JSON of whatever shape.
pub(crate) fn duplicate_fields(body: &[u8]) -> Limited<String> {
    json_faults(body, Known::Everything)
}

/// What YAML's reader says of a field that is there twice, the first of them; none if there is none.
pub(crate) fn yaml_duplicate(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let options = crate::machinery::value::yaml_options(body, serde_saphyr::DuplicateKeyPolicy::Error);
    let read: Result<Vec<IgnoredAny>, _> = serde_saphyr::from_multiple_with_options(text, options);
    match read.as_ref().err()?.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key, location } => {
            let (line, key) = (location.line(), quote(key.as_deref().unwrap_or_default()));
            Some(format!("{YAML_FAULTS}line {line}: key {key} already set in map"))
        }
        _ => None,
    }
}

/// The faults as warnings, each of one line.
pub fn warnings(faults: Limited<String>) -> Vec<String> {
    let more = faults.is_cut().then(|| MORE.to_owned());
    let line = |fault: String| fault.strip_prefix(YAML_FAULTS).map(str::to_owned).unwrap_or(fault);
    faults.into_iter().map(line).chain(more).collect()
}

/// The faults as one sentence, as it stands in errors.
pub fn told(faults: &Limited<String>) -> String {
    format!("strict decoding error: {}", listed(faults))
}

/// The faults behind each other.
pub fn listed(faults: &Limited<String>) -> String {
    let more = if faults.is_cut() { format!(", {MORE}") } else { String::new() };
    faults.join(", ") + &more
}

fn json_faults(body: &[u8], known: Known<'_>) -> Limited<String> {
    let mut walk = Walk::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    match (Part { walk: &mut walk, known }).deserialize(&mut deserializer) {
        Ok(()) => walk.faults,
        Err(_) => Limited::default(),
    }
}

/// Which fields a value may have.
#[derive(Clone, Copy)]
enum Known<'a> {
    /// Those of its shape.
    Shape(&'a Shape),
    /// All of them.
    Everything,
}

impl<'a> Known<'a> {
    fn field(self, name: &str) -> Option<Self> {
        match self {
            Self::Everything => Some(self),
            Self::Shape(shape) => shape.value(name).map(Self::Shape),
        }
    }

    fn item(self) -> Self {
        match self {
            Self::Shape(Shape::List(_, items)) => Self::Shape(items),
            other => other,
        }
    }

    /// Whether the inside does not matter: what may be anything is kept as it is, be it with doubles.
    fn is_opaque(self) -> bool {
        match self {
            Self::Shape(Shape::Map(_, values)) => **values == Shape::Untyped,
            Self::Shape(Shape::Untyped | Shape::Scalar(_)) => true,
            _ => false,
        }
    }
}

/// Where the walk is, and what it found.
#[derive(Default)]
struct Walk {
    path: String,
    faults: Limited<String>,
    /// The bytes of the paths of all faults, also of those that were told before.
    path_bytes: usize,
}

impl Walk {
    fn tell(&mut self, what: &str) {
        self.path_bytes = self.path_bytes.saturating_add(self.path.len());
        // The first fault is always recorded: whether there is any decides about the request.
        if self.path_bytes > MOST_PATH_BYTES && !self.faults.is_empty() {
            self.faults.cut();
            return;
        }
        let fault = || format!("{what} {}", quote(&self.path));
        if self.faults.is_full() || !self.faults.contains(&fault()) {
            self.faults.push_with(fault);
        }
    }

    /// Goes one step down, does what is to be done there, and comes back.
    fn at<R>(&mut self, step: fmt::Arguments<'_>, there: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        let result = fmt::Write::write_fmt(&mut self.path, step).map(|()| there(self));
        self.path.truncate(length);
        result.expect("writing to memory does not fail")
    }
}

/// A value in the text, to be walked.
struct Part<'w, 'a> {
    walk: &'w mut Walk,
    known: Known<'a>,
}

impl<'de> DeserializeSeed<'de> for Part<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.known.is_opaque() {
            true => IgnoredAny::deserialize(deserializer).map(drop),
            false => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Part<'_, '_> {
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
        let (walk, known) = (self.walk, self.known.item());
        let mut at = 0;
        while walk.at(format_args!("[{at}]"), |walk| items.next_element_seed(Part { walk, known }))?.is_some() {
            at += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let (walk, known) = (self.walk, self.known);
        let mut seen: HashSet<String> = HashSet::new();
        while let Some(Name(name)) = fields.next_key()? {
            let dot = if walk.path.is_empty() { "" } else { "." };
            walk.at(format_args!("{dot}{name}"), |walk| match known.field(&name) {
                None => {
                    walk.tell("unknown field");
                    fields.next_value::<IgnoredAny>().map(drop)
                }
                Some(known) => {
                    if seen.contains(&*name) {
                        walk.tell("duplicate field");
                    }
                    fields.next_value_seed(Part { walk, known })
                }
            })?;
            seen.insert(name.into_owned());
        }
        Ok(())
    }
}

/// The name of a field.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfName;
        impl<'de> Visitor<'de> for OfName {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(OfName)
    }
}

#[cfg(test)]
mod tests;
