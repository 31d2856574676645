//! Decoding into values of known types: key matching and type errors.

use std::collections::BTreeMap;

use super::reader::JsonKind;
use super::{GoJsonError, JsonReader, JsonText};
use crate::meta::{Time, TimeError, excerpt};

/// A target of decoding.
pub(crate) trait Decode {
    /// Decodes the next value of `reader` into `self`. On a type mismatch, records the error in
    /// `decoder` and keeps the value.
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder);

    /// Returns the name of the type in Go, for errors.
    fn go_type(&self) -> String;
}

/// An object with a fixed set of keys.
pub(crate) trait Struct {
    /// Package and name of the type in Go, for errors.
    const NAME: &'static str;

    /// Returns all keys with the targets of their values.
    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)>;
}

/// State of decoding: the current path and the first error.
pub(crate) struct Decoder {
    root: &'static str,
    path: Vec<&'static str>,
    error: Option<GoJsonError>,
}

/// Decodes a text into a new `T`. A syntax error takes precedence over a type error.
///
/// # Errors
/// The text is not valid JSON, or a value has the wrong type.
pub(crate) fn read<T: Struct + Default>(text: &[u8]) -> Result<T, GoJsonError> {
    let mut reader = JsonText::check(text)?.reader();
    let root = T::NAME.rsplit('.').next().unwrap_or(T::NAME);
    let mut decoder = Decoder { root, path: Vec::new(), error: None };
    let mut value = T::default();
    value.decode(&mut reader, &mut decoder);
    match decoder.error {
        Some(error) => Err(error),
        None => Ok(value),
    }
}

impl Decoder {
    /// Decodes a number into `place`. `go_type` is the type for the error.
    pub(crate) fn number(&mut self, reader: &mut JsonReader<'_>, place: &mut i64, go_type: &str) {
        match reader.kind() {
            JsonKind::Number => {
                let text = reader.number();
                match text.parse() {
                    Ok(number) => *place = number,
                    Err(_) => self.fail_at(&format!("number {text}"), go_type),
                }
            }
            other => self.skip_other(other, reader, go_type),
        }
    }

    /// Skips a value of another kind than expected: `null`, or a mismatch.
    fn skip_other(&mut self, kind: JsonKind, reader: &mut JsonReader<'_>, go_type: &str) {
        reader.skip();
        if kind != JsonKind::Null {
            self.fail_at(kind.name(), go_type);
        }
    }

    fn fail_at(&mut self, found: &str, go_type: &str) {
        let place = match self.path[..] {
            [] => "value".into(),
            _ => format!("struct field {}.{}", self.root, self.path.join(".")),
        };
        self.fail(format!("json: cannot unmarshal {found} into Go {place} of type {go_type}"));
    }

    fn fail(&mut self, text: String) {
        self.error.get_or_insert_with(|| GoJsonError(excerpt::of(text)));
    }
}

impl<T: Struct> Decode for T {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        match reader.kind() {
            JsonKind::Object => reader.begin(),
            other => return decoder.skip_other(other, reader, &self.go_type()),
        }
        let mut fields = self.fields();
        while let Some(key) = reader.next_key() {
            match fields.iter_mut().find(|(name, _)| same_key(name, &key)) {
                Some((name, place)) => {
                    decoder.path.push(name);
                    place.decode(reader, decoder);
                    decoder.path.pop();
                }
                None => reader.skip(),
            }
        }
    }

    fn go_type(&self) -> String {
        T::NAME.into()
    }
}

impl Decode for String {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        match reader.kind() {
            JsonKind::Text => *self = reader.string().into_owned(),
            other => decoder.skip_other(other, reader, &self.go_type()),
        }
    }

    fn go_type(&self) -> String {
        "string".into()
    }
}

impl Decode for bool {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        match reader.kind() {
            JsonKind::Bool => *self = reader.bool(),
            other => decoder.skip_other(other, reader, &self.go_type()),
        }
    }

    fn go_type(&self) -> String {
        "bool".into()
    }
}

impl Decode for i64 {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        decoder.number(reader, self, "int64");
    }

    fn go_type(&self) -> String {
        "int64".into()
    }
}

/// Decodes a repeated key into the existing items, like Go.
impl<T: Decode + Default> Decode for Vec<T> {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        match reader.kind() {
            JsonKind::Null => {
                reader.skip();
                self.clear();
            }
            JsonKind::List => {
                reader.begin();
                let mut length = 0;
                while reader.next_item() {
                    if length == self.len() {
                        self.push(T::default());
                    }
                    self[length].decode(reader, decoder);
                    length += 1;
                }
                self.truncate(length);
            }
            other => decoder.skip_other(other, reader, &self.go_type()),
        }
    }

    fn go_type(&self) -> String {
        format!("[]{}", T::default().go_type())
    }
}

impl<T: Decode + Default> Decode for BTreeMap<String, T> {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        match reader.kind() {
            JsonKind::Null => {
                reader.skip();
                self.clear();
            }
            JsonKind::Object => {
                reader.begin();
                while let Some(key) = reader.next_key() {
                    let mut value = T::default();
                    value.decode(reader, decoder);
                    self.insert(key.into_owned(), value);
                }
            }
            other => decoder.skip_other(other, reader, &self.go_type()),
        }
    }

    fn go_type(&self) -> String {
        format!("map[string]{}", T::default().go_type())
    }
}

/// An optional value. `null` unsets it.
impl<T: Struct + Default> Decode for Option<T> {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        match reader.kind() {
            JsonKind::Null => {
                reader.skip();
                *self = None;
            }
            _ => self.get_or_insert_default().decode(reader, decoder),
        }
    }

    fn go_type(&self) -> String {
        T::NAME.into()
    }
}

/// Value of a Go set: an object whose content is discarded.
impl Decode for () {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        match reader.kind() {
            JsonKind::Object => reader.skip(),
            other => decoder.skip_other(other, reader, &self.go_type()),
        }
    }

    fn go_type(&self) -> String {
        "struct {}".into()
    }
}

/// Decodes Go's zero time, the first second of year 1, as `None`. As `Time.UnmarshalJSON` of the
/// package `time`, does not decode escapes.
impl Decode for Option<Time> {
    fn decode(&mut self, reader: &mut JsonReader<'_>, decoder: &mut Decoder) {
        match reader.kind() {
            JsonKind::Null => reader.skip(),
            JsonKind::Text => match reader.raw_string().parse::<Time>() {
                Ok(time) => *self = Some(time).filter(|time| !time.is_zero()),
                Err(error) => decoder.fail(TimeError::to_string(&error)),
            },
            _ => {
                reader.skip();
                decoder.fail("Time.UnmarshalJSON: input is not a JSON string".into());
            }
        }
    }

    fn go_type(&self) -> String {
        "time.Time".into()
    }
}

/// Returns true if `key` equals `name` under Unicode case folding, like Go. Two non-ASCII
/// characters fold to ASCII.
pub(crate) fn same_key(name: &str, key: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(key.chars().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Outer {
        name: String,
        size: i64,
        tty: bool,
        env: Vec<String>,
        labels: BTreeMap<String, String>,
        created: Option<Time>,
        inner: Option<Inner>,
    }

    #[derive(Debug, Default, PartialEq)]
    struct Inner {
        a: String,
        b: String,
        ports: BTreeMap<String, ()>,
    }

    impl Struct for Outer {
        const NAME: &'static str = "p.Outer";

        fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
            vec![
                ("name", &mut self.name),
                ("size", &mut self.size),
                ("tty", &mut self.tty),
                ("Env", &mut self.env),
                ("labels", &mut self.labels),
                ("created", &mut self.created),
                ("inner", &mut self.inner),
            ]
        }
    }

    impl Struct for Inner {
        const NAME: &'static str = "p.Inner";

        fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)> {
            vec![("a", &mut self.a), ("b", &mut self.b), ("ports", &mut self.ports)]
        }
    }

    fn outer(text: &str) -> Outer {
        read(text.as_bytes()).unwrap()
    }

    fn error(text: &str) -> String {
        read::<Outer>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn last_key_of_any_case_wins() {
        assert_eq!(outer(r#"{"name":"a","NAME":"b"}"#).name, "b");
        assert_eq!(outer(r#"{"NAME":"b","name":"a"}"#).name, "a");
        assert_eq!(outer("{\"\u{17f}ize\":7}").size, 7);
    }

    #[test]
    fn null_clears_lists_and_optional_values_only() {
        assert_eq!(outer(r#"{"name":"a","name":null,"size":null}"#).name, "a");
        assert_eq!(
            outer(r#"{"Env":["a"],"env":null,"inner":{"a":"x"},"inner":null}"#),
            Outer::default()
        );
    }

    #[test]
    fn repeated_objects_are_merged() {
        let inner = outer(r#"{"inner":{"a":"x"},"Inner":{"b":"y"}}"#).inner.unwrap();
        assert_eq!((inner.a.as_str(), inner.b.as_str()), ("x", "y"));
    }

    #[test]
    fn type_errors_name_path_and_type() {
        let mismatch =
            |found: &str, place: &str| format!("json: cannot unmarshal {found} into Go {place}");
        let cases = [
            (r#"{"env":"x"}"#, mismatch("string", "struct field Outer.Env of type []string")),
            (r#"{"env":[1]}"#, mismatch("number", "struct field Outer.Env of type string")),
            (
                r#"{"INNER":{"a":[]}}"#,
                mismatch("array", "struct field Outer.inner.a of type string"),
            ),
            (r#"{"inner":3}"#, mismatch("number", "struct field Outer.inner of type p.Inner")),
            (
                r#"{"inner":{"ports":[]}}"#,
                mismatch("array", "struct field Outer.inner.ports of type map[string]struct {}"),
            ),
            (r#"{"size":1.5}"#, mismatch("number 1.5", "struct field Outer.size of type int64")),
            (
                r#"{"size":99999999999999999999}"#,
                mismatch("number 99999999999999999999", "struct field Outer.size of type int64"),
            ),
            (r#"{"tty":{}}"#, mismatch("object", "struct field Outer.tty of type bool")),
            ("[]", mismatch("array", "value of type p.Outer")),
        ];
        for (text, expected) in cases {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn syntax_errors_precede_the_first_type_error() {
        assert!(error(r#"{"tty":1,"env":1}"#).contains("Outer.tty"));
        assert_eq!(error(r#"{"tty":1,"#), "unexpected end of JSON input");
    }

    #[test]
    fn fractions_are_dropped_and_zero_time_is_none() {
        let created = |text: &str| {
            outer(&format!(r#"{{"created":"{text}"}}"#)).created.map(|time| time.to_string())
        };
        assert_eq!(
            created("2019-05-06T07:08:09.123456789+02:00").as_deref(),
            Some("2019-05-06T05:08:09Z")
        );
        assert_eq!(created("0001-01-01T00:00:00Z"), None);
        assert_eq!(
            error(r#"{"created":"yesterday"}"#),
            r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#
        );
        assert_eq!(error(r#"{"created":5}"#), "Time.UnmarshalJSON: input is not a JSON string");
    }
}
