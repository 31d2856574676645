//! From [`Node`]s to values: matching of keys, and the first value that has a wrong type.

use std::collections::BTreeMap;

use super::{GoJsonError, Node};
use crate::meta::time::parse_error as time_parse_error;
use crate::meta::{Time, excerpt};

/// A place that a value can be read into.
pub(crate) trait Decode {
    /// Reads `node`; what does not fit is told to `decoder` and leaves the place as it is.
    fn decode(&mut self, node: &Node, decoder: &mut Decoder);

    /// The type's name in Go, for errors.
    fn go_type(&self) -> String;
}

/// An object with known keys.
pub(crate) trait Struct {
    /// Package and name of the type in Go, for errors.
    const NAME: &'static str;

    /// Every key and the place of its value.
    fn fields(&mut self) -> Vec<(&'static str, &mut dyn Decode)>;
}

/// Where decoding is, and the first thing that went wrong.
pub(crate) struct Decoder {
    root: &'static str,
    path: Vec<&'static str>,
    error: Option<GoJsonError>,
}

/// Reads `node` into a new `T`.
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
    /// Reads a number into `place`, whose type is called `go_type`.
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

    fn mismatch(&mut self, found: &str, wanted: String) {
        let place = match self.path[..] {
            [] => "value".into(),
            _ => format!("struct field {}.{}", self.root, self.path.join(".")),
        };
        self.fail(format!("json: cannot unmarshal {found} into Go {place} of type {wanted}"));
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

/// A list that comes twice is read into the items that are there.
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

/// A value that may be absent: `null` takes it away.
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

/// A set's value: an object of which nothing is kept.
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

/// The first second of year 1 stands for no time, as everywhere in Go.
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

/// RFC 3339 in the strict form; the parser behind [`Time`] takes more.
fn time(text: &str) -> Option<Time> {
    let strict = text.as_bytes().get(10) == Some(&b'T') && text.len() >= 20 && !text.contains(['[', ' ']);
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

/// Whether `key` folds to the known `name`. Two letters beyond ASCII fold to ASCII ones.
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

    fn fault(text: &str) -> String {
        read::<Outer>(text).unwrap_err().to_string()
    }

    #[test]
    fn of_keys_that_differ_in_case_the_last_one_wins() {
        assert_eq!(outer(r#"{"name":"a","NAME":"b"}"#).name, "b");
        assert_eq!(outer(r#"{"NAME":"b","name":"a"}"#).name, "a");
        assert_eq!(outer("{\"\u{17f}ize\":7}").size, 7);
    }

    #[test]
    fn null_leaves_plain_values_and_clears_the_others() {
        assert_eq!(outer(r#"{"name":"a","name":null,"size":null}"#).name, "a");
        assert_eq!(outer(r#"{"Env":["a"],"env":null,"inner":{"a":"x"},"inner":null}"#), Outer::default());
    }

    #[test]
    fn an_object_that_comes_twice_is_merged() {
        let inner = outer(r#"{"inner":{"a":"x"},"Inner":{"b":"y"}}"#).inner.unwrap();
        assert_eq!((inner.a.as_str(), inner.b.as_str()), ("x", "y"));
    }

    #[test]
    fn a_wrong_type_is_told_with_path_and_type() {
        let told = |what: &str, place: &str| format!("json: cannot unmarshal {what} into Go {place}");
        let cases = [
            (r#"{"env":"x"}"#, told("string", "struct field Outer.Env of type []string")),
            (r#"{"env":[1]}"#, told("number", "struct field Outer.Env of type string")),
            (r#"{"INNER":{"a":[]}}"#, told("array", "struct field Outer.inner.a of type string")),
            (r#"{"inner":3}"#, told("number", "struct field Outer.inner of type p.Inner")),
            (r#"{"inner":{"ports":[]}}"#, told("array", "struct field Outer.inner.ports of type map[string]struct {}")),
            (r#"{"size":1.5}"#, told("number 1.5", "struct field Outer.size of type int64")),
            (
                r#"{"size":99999999999999999999}"#,
                told("number 99999999999999999999", "struct field Outer.size of type int64"),
            ),
            (r#"{"tty":{}}"#, told("object", "struct field Outer.tty of type bool")),
            ("[]", told("array", "value of type p.Outer")),
        ];
        for (text, said) in cases {
            assert_eq!(fault(text), said, "{text}");
        }
    }

    #[test]
    fn the_first_wrong_type_is_told_but_syntax_comes_before_types() {
        assert!(fault(r#"{"tty":1,"env":1}"#).contains("Outer.tty"));
        assert_eq!(fault(r#"{"tty":1,"#), "unexpected end of JSON input");
    }

    #[test]
    fn times_lose_their_fraction_and_the_first_second_is_none() {
        let created = |text: &str| outer(&format!(r#"{{"created":"{text}"}}"#)).created.map(|time| time.to_string());
        assert_eq!(created("2019-05-06T07:08:09.123456789+02:00").as_deref(), Some("2019-05-06T05:08:09Z"));
        assert_eq!(created("0001-01-01T00:00:00Z"), None);
        assert_eq!(
            fault(r#"{"created":"yesterday"}"#),
            r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#
        );
        assert_eq!(fault(r#"{"created":5}"#), "Time.UnmarshalJSON: input is not a JSON string");
    }
}
