//! JSON as Go's `encoding/json` writes it: with its escapes, compact or indented by two spaces.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

use crate::meta::excerpt::Excerpt;

/// Encodes a value as compact JSON without a final newline.
///
/// # Panics
/// Never for the types of this crate: they have string keys and their serializers do not fail.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    encode_into(value, &mut bytes);
    bytes
}

/// Encodes a value as compact JSON text.
pub(crate) fn to_text<T: Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8_lossy(&encode(value)).into_owned()
}

/// Appends a value as compact JSON.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) {
    let mut serializer = Serializer::with_formatter(bytes, GoFormatter(CompactFormatter));
    value.serialize(&mut serializer).expect("keys are strings and writing to memory does not fail");
}

/// Excerpt of a value as compact JSON, for messages.
pub fn excerpt<T: Serialize + ?Sized>(value: &T) -> String {
    let mut excerpt = Excerpt::default();
    let mut serializer = Serializer::with_formatter(&mut excerpt, GoFormatter(CompactFormatter));
    // Serialization fails only when the excerpt is full, and the excerpt marks that itself.
    let _ = value.serialize(&mut serializer);
    excerpt.finish()
}

/// Appends a JSON string. Has a fast path for text without characters to escape.
pub fn encode_text(text: &str, bytes: &mut Vec<u8>) {
    let is_plain = |byte: u8| {
        matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
    };
    // Without an early end, the compiler checks many bytes at once.
    if !text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        return encode_into(text, bytes);
    }
    bytes.push(b'"');
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(b'"');
}

/// Appends the compact JSON of an object after the fields in `head`, an object without its closing
/// brace.
///
/// `object` must have at least one field.
pub fn encode_behind<T: Serialize + ?Sized>(head: &[u8], object: &T, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(head);
    let brace = bytes.len();
    encode_into(object, bytes);
    bytes[brace] = b',';
}

/// Indents compact JSON by two spaces without a final newline, as Go's `json.Indent`.
pub fn indent(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    Indenter::default().push(compact, &mut out);
    out
}

/// Indents compact JSON that arrives in chunks, split at any byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct Indenter {
    depth: usize,
    in_text: bool,
    /// The last byte was an unescaped backslash.
    escaped: bool,
    /// The last byte opened a list or an object.
    fresh: bool,
}

impl Indenter {
    /// Indents the next chunk.
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

    /// Appends a byte outside of strings.
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

/// Escapes the characters that Go escapes in addition to those required by JSON: `<`, `>`, `&`,
/// U+2028 and U+2029.
struct GoFormatter(CompactFormatter);

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let bytes = fragment.as_bytes();
        // Without an early exit the compiler vectorizes the loop. Most strings need no escape.
        if !bytes
            .iter()
            .fold(false, |found, byte| found | matches!(byte, b'<' | b'>' | b'&' | 0xe2))
        {
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

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn strings_are_escaped_as_in_go() {
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
    fn indentation_keeps_empty_containers_and_strings() {
        let compact = br#"{"a":{},"b":[],"c":[1,{"d":"x,{}:\"[]\\"}]}"#;
        let pretty = "{\n  \"a\": {},\n  \"b\": [],\n  \"c\": [\n    1,\n    {\n      \"d\": \"x,{}:\\\"[]\\\\\"\n    }\n  ]\n}";
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
        fn chunks_are_indented_like_the_whole(texts in proptest::collection::vec(".*", 0..5), size in 1_usize..9) {
            let compact = encode(&json!({"texts": texts, "o": {"p": [[], {}, null, "\\\""]}}));
            let (mut indenter, mut pieces) = (Indenter::default(), Vec::new());
            compact.chunks(size).for_each(|piece| indenter.push(piece, &mut pieces));
            proptest::prop_assert_eq!(pieces, indent(&compact));
        }
    }
}
