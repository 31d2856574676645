//! Decoding of [`Node`]s into values: key matching and type errors.

use std::collections::BTreeMap;

use super::{GoJsonError, Node};
use crate::meta::time::parse_error as time_parse_error;
use crate::meta::{Time, excerpt};

/// A target of decoding.
pub(crate) trait Decode {
    /// Decodes `node` into `self`. On a type mismatch, records the error in `decoder` and keeps the
    /// value.
    fn decode(&mut self, node: &Node, decoder: &mut Decoder);

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

/// Decodes `node` into a new `T`.
pub(super) fn decode<T: Struct + Default>(node: &Node) -> Result<T, GoJsonError> {
    let root = T::NAME.rsplit('.').next().unwrap_or(T::NAME);
    let mut decoder = Decoder { root, path: Vec::new(), error: None };
    let mut value = T::default();
    value.decode(node, &mut decoder);
    match decoder.error {
        Some(error) => Err(error),
        None => Ok(value),
    }
}

impl Decoder {
    /// Decodes a number into `place`. `go_type` is the type for the error.
    pub(crate) fn number(&mut self, node: &Node, place: &mut i64, go_type: &str) {
        match node {
            Node::Null => {}
            Node::Number(text) => match text.parse() {
                Ok(number) => *place = number,
                Err(_) => self.mismatch(&format!("number {text}"), go_type.into()),
            },
            other => self.mismatch(kind(other), go_type.into()),
        }
    }

    fn mismatch(&mut self, found: &str, go_type: String) {
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
    fn decode(&mut self, node: &Node, decoder: &mut Decoder) {
        let entries = match node {
            Node::Null => return,
            Node::Object(entries) => entries,
            other => return decoder.mismatch(kind(other), self.go_type()),
        };
        let mut fields = self.fields();
        for (key, value) in entries {
            if let Some((name, place)) = fields.iter_mut().find(|(name, _)| same_key(name, key)) {
                decoder.path.push(name);
                place.decode(value, decoder);
                decoder.path.pop();
            }
        }
    }

    fn go_type(&self) -> String {
        T::NAME.into()
    }
}

impl Decode for String {
    fn decode(&mut self, node: &Node, decoder: &mut Decoder) {
        match node {
            Node::Null => {}
            Node::Text(text) => self.clone_from(text),
            other => decoder.mismatch(kind(other), self.go_type()),
        }
    }

    fn go_type(&self) -> String {
        "string".into()
    }
}

impl Decode for bool {
    fn decode(&mut self, node: &Node, decoder: &mut Decoder) {
        match node {
            Node::Null => {}
            Node::Bool(value) => *self = *value,
            other => decoder.mismatch(kind(other), self.go_type()),
        }
    }

    fn go_type(&self) -> String {
        "bool".into()
    }
}

impl Decode for i64 {
    fn decode(&mut self, node: &Node, decoder: &mut Decoder) {
        decoder.number(node, self, "int64");
    }

    fn go_type(&self) -> String {
        "int64".into()
    }
}

/// Decodes a repeated key into the existing items, like Go.
impl<T: Decode + Default> Decode for Vec<T> {
    fn decode(&mut self, node: &Node, decoder: &mut Decoder) {
        match node {
            Node::Null => self.clear(),
            Node::List(nodes) => {
                self.resize_with(nodes.len(), T::default);
                self.iter_mut().zip(nodes).for_each(|(item, node)| item.decode(node, decoder));
            }
            other => decoder.mismatch(kind(other), self.go_type()),
        }
    }

    fn go_type(&self) -> String {
        format!("[]{}", T::default().go_type())
    }
}

impl<T: Decode + Default> Decode for BTreeMap<String, T> {
    fn decode(&mut self, node: &Node, decoder: &mut Decoder) {
        match node {
            Node::Null => self.clear(),
            Node::Object(entries) => {
                for (key, node) in entries {
                    let mut value = T::default();
                    value.decode(node, decoder);
                    self.insert(key.clone(), value);
                }
            }
            other => decoder.mismatch(kind(other), self.go_type()),
        }
    }

    fn go_type(&self) -> String {
        format!("map[string]{}", T::default().go_type())
    }
}

/// An optional value. `null` unsets it.
impl<T: Struct + Default> Decode for Option<T> {
    fn decode(&mut self, node: &Node, decoder: &mut Decoder) {
        match node {
            Node::Null => *self = None,
            node => self.get_or_insert_default().decode(node, decoder),
        }
    }

    fn go_type(&self) -> String {
        T::NAME.into()
    }
}

/// Value of a Go set: an object whose content is discarded.
impl Decode for () {
    fn decode(&mut self, node: &Node, decoder: &mut Decoder) {
        if !matches!(node, Node::Null | Node::Object(_)) {
            decoder.mismatch(kind(node), self.go_type());
        }
    }

    fn go_type(&self) -> String {
        "struct {}".into()
    }
}

/// Decodes Go's zero time, the first second of year 1, as `None`.
impl Decode for Option<Time> {
    fn decode(&mut self, node: &Node, decoder: &mut Decoder) {
        let text = match node {
            Node::Null => return,
            Node::Text(text) => text,
            _ => return decoder.fail("Time.UnmarshalJSON: input is not a JSON string".into()),
        };
        match time(text) {
            Some(time) => *self = Some(time).filter(|time| time.unix_seconds() != FIRST_SECOND),
            None => decoder.fail(time_parse_error(text)),
        }
    }

    fn go_type(&self) -> String {
        "time.Time".into()
    }
}

/// 0001-01-01T00:00:00Z.
const FIRST_SECOND: i64 = -62_135_596_800;

/// Parses RFC 3339 strictly, like Go's `time.Parse`. The parser of [`Time`] accepts more.
fn time(text: &str) -> Option<Time> {
    let strict =
        text.as_bytes().get(10) == Some(&b'T') && text.len() >= 20 && !text.contains(['[', ' ']);
    strict.then(|| text.parse().ok()).flatten()
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::Null => "null",
        Node::Bool(_) => "bool",
        Node::Number(_) => "number",
        Node::Text(_) => "string",
        Node::List(_) => "array",
        Node::Object(_) => "object",
    }
}

/// Returns true if `key` equals `name` under Unicode case folding, like Go. Two non-ASCII
/// characters fold to ASCII.
fn same_key(name: &str, key: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(key.chars().map(fold))
}

#[cfg(test)]
mod tests {
    use super::{super::read, *};

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
        read(text).unwrap()
    }

    fn error(text: &str) -> String {
        read::<Outer>(text).unwrap_err().to_string()
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
