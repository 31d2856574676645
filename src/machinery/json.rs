//! JSON as the reference implementation writes it: Go's escapes, compact or indented by two spaces.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

use crate::meta::excerpt::Excerpt;

/// The compact JSON of a value, without a final newline.
///
/// # Panics
/// Never for the types of this crate: they have text keys and no failing serializers.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    encode_into(value, &mut bytes);
    bytes
}

/// The compact JSON of a value as text.
pub(crate) fn to_text<T: Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8_lossy(&encode(value)).into_owned()
}

/// Appends the compact JSON of a value.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) {
    let mut serializer = Serializer::with_formatter(bytes, GoFormatter(CompactFormatter));
    value.serialize(&mut serializer).expect("objects have text keys and writing to memory does not fail");
}

/// The compact JSON of a value as far as a message shows it.
pub fn excerpt<T: Serialize + ?Sized>(value: &T) -> String {
    let mut excerpt = Excerpt::default();
    let mut serializer = Serializer::with_formatter(&mut excerpt, GoFormatter(CompactFormatter));
    // The only failure is that of a full excerpt, which its mark shows.
    let _ = value.serialize(&mut serializer);
    excerpt.finish()
}

/// Appends a text as JSON. Most texts have nothing to be escaped.
pub fn encode_text(text: &str, bytes: &mut Vec<u8>) {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
    if !text.as_bytes().iter().all(is_plain) {
        return encode_into(text, bytes);
    }
    bytes.push(b'"');
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(b'"');
}

/// Appends the compact JSON of an object whose first fields are those of `head`, which lacks its closing brace.
///
/// The object must have fields of its own.
pub fn encode_behind<T: Serialize + ?Sized>(head: &[u8], object: &T, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(head);
    let brace = bytes.len();
    encode_into(object, bytes);
    bytes[brace] = b',';
}

/// Compact JSON with two spaces of indentation and without a final newline, as Go's `json.Indent` lays it out.
pub fn indent(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    Indenter::default().push(compact, &mut out);
    out
}

/// The same of JSON that comes in pieces, cut anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Indenter {
    depth: usize,
    in_text: bool,
    /// The last byte was a backslash that counts.
    escaped: bool,
    /// The last byte opened a list or an object.
    fresh: bool,
}

impl Indenter {
    /// Appends the next piece.
    pub(crate) fn push(&mut self, compact: &[u8], out: &mut Vec<u8>) {
        for &byte in compact {
            if self.in_text {
                out.push(byte);
                self.in_text = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
            } else {
                self.structure(byte, out);
            }
        }
    }

    /// Appends a byte that does not stand inside of a text.
    fn structure(&mut self, byte: u8, out: &mut Vec<u8>) {
        let closes = matches!(byte, b'}' | b']');
        if self.fresh && !closes {
            self.depth += 1;
            new_line(out, self.depth);
        }
        match byte {
            b'{' | b'[' => out.push(byte),
            b',' => {
                out.push(byte);
                new_line(out, self.depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ if closes && self.fresh => out.push(byte),
            _ if closes => {
                self.depth = self.depth.saturating_sub(1);
                new_line(out, self.depth);
                out.push(byte);
            }
            b'\n' => {}
            _ => {
                self.in_text = byte == b'"';
                out.push(byte);
            }
        }
        self.fresh = matches!(byte, b'{' | b'[');
    }
}

fn new_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.resize(out.len() + 2 * depth, b' ');
}

/// Escapes what Go escapes besides what JSON demands: `<`, `>`, `&` and the two separators that JavaScript trips over.
struct GoFormatter(CompactFormatter);

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let bytes = fragment.as_bytes();
        // Without a way out of the loop it looks at many bytes at a time. Most texts have nothing to be escaped.
        if !bytes.iter().fold(false, |found, byte| found | matches!(byte, b'<' | b'>' | b'&' | 0xe2)) {
            return writer.write_all(bytes);
        }
        let mut done = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            let (escape, length): (&[u8], _) = match byte {
                b'<' => (b"\\u003c", 1),
                b'>' => (b"\\u003e", 1),
                b'&' => (b"\\u0026", 1),
                0xe2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => (b"\\u2028", 3),
                0xe2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => (b"\\u2029", 3),
                _ => continue,
            };
            writer.write_all(&bytes[done..at])?;
            writer.write_all(escape)?;
            done = at + length;
        }
        writer.write_all(&bytes[done..])
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn texts_are_escaped_as_go_does() {
        let text = "<a>&\u{2028}é\u{1}\t\u{7f}\"";
        for plain in ["", "a b~", "a\"b", "a\\b", "<&>", "é\n"] {
            let mut encoded = Vec::new();
            encode_text(plain, &mut encoded);
            assert_eq!(encoded, encode(plain));
        }
        assert_eq!(
            String::from_utf8(encode(text)).unwrap(),
            r#""\u003ca\u003e\u0026\u2028é\u0001\t"#.to_owned() + "\u{7f}\\\"\""
        );
    }

    #[test]
    fn indentation_keeps_empty_containers_and_texts_as_they_are() {
        let compact = br#"{"a":{},"b":[],"c":[1,{"d":"x,{}:\"[]\\"}]}"#;
        let pretty =
            "{\n  \"a\": {},\n  \"b\": [],\n  \"c\": [\n    1,\n    {\n      \"d\": \"x,{}:\\\"[]\\\\\"\n    }\n  ]\n}";
        assert_eq!(String::from_utf8(indent(compact)).unwrap(), pretty);
    }

    proptest::proptest! {
        #[test]
        fn indented_json_is_the_same_value(texts in proptest::collection::vec(".*", 0..5), number: i64) {
            let value = json!({"texts": texts, "n": number, "o": {"p": [[], {}, null]}});
            let compact = encode(&value);
            proptest::prop_assert_eq!(&serde_json::from_slice::<Value>(&compact).unwrap(), &value);
            proptest::prop_assert_eq!(serde_json::from_slice::<Value>(&indent(&compact)).unwrap(), value);
        }

        #[test]
        fn pieces_are_indented_as_the_whole_is(texts in proptest::collection::vec(".*", 0..5), size in 1_usize..9) {
            let compact = encode(&json!({"texts": texts, "o": {"p": [[], {}, null, "\\\""]}}));
            let (mut indenter, mut pieces) = (Indenter::default(), Vec::new());
            compact.chunks(size).for_each(|piece| indenter.push(piece, &mut pieces));
            proptest::prop_assert_eq!(pieces, indent(&compact));
        }
    }
}
