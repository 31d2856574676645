//! A cursor over valid JSON.

use std::borrow::Cow;

use memchr::memchr2;

use super::JsonText;
use super::string::unquote;

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonKind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

impl JsonKind {
    /// Its name in errors of Go.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::Text => "string",
            Self::List => "array",
            Self::Object => "object",
        }
    }
}

/// A reader at the start of a value. Each method reads one value, or one step into a container.
#[derive(Clone, Debug)]
pub(crate) struct JsonReader<'a> {
    text: &'a [u8],
    at: usize,
    /// Number of containers that are being deserialized.
    pub(super) depth: usize,
}

impl<'a> JsonReader<'a> {
    pub(super) fn new(JsonText(text): JsonText<'a>) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The kind of the next value.
    pub(crate) fn kind(&mut self) -> JsonKind {
        match self.peek() {
            b'n' => JsonKind::Null,
            b't' | b'f' => JsonKind::Bool,
            b'"' => JsonKind::Text,
            b'[' => JsonKind::List,
            b'{' => JsonKind::Object,
            _ => JsonKind::Number,
        }
    }

    /// Reads a boolean, or `null` as false.
    pub(crate) fn bool(&mut self) -> bool {
        self.scalar() == b"true"
    }

    /// Reads a number as its text.
    pub(crate) fn number(&mut self) -> &'a str {
        str::from_utf8(self.scalar()).expect("numbers are ASCII")
    }

    /// Reads a string.
    pub(crate) fn string(&mut self) -> Cow<'a, str> {
        unquote(self.quoted())
    }

    /// Reads a string with its escapes.
    pub(crate) fn raw_string(&mut self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.quoted())
    }

    /// Begins a list or an object.
    pub(crate) fn begin(&mut self) {
        self.peek();
        self.at += 1;
    }

    /// Moves to the next item of a list. Returns false behind the last one, where the list ends.
    pub(crate) fn next_item(&mut self) -> bool {
        if self.peek() == b',' {
            self.at += 1;
        }
        let found = self.peek() != b']';
        self.at += usize::from(!found);
        found
    }

    /// Moves to the value of the next key of an object, and returns the key. None behind the last
    /// one, where the object ends.
    pub(crate) fn next_key(&mut self) -> Option<Cow<'a, str>> {
        if self.peek() == b',' {
            self.at += 1;
        }
        if self.peek() == b'}' {
            self.at += 1;
            return None;
        }
        let key = self.string();
        self.peek();
        self.at += 1;
        Some(key)
    }

    /// Skips a value, however deep.
    pub(crate) fn skip(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                b'"' => drop(self.quoted()),
                _ => drop(self.scalar()),
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Reads a string without decoding its content.
    fn quoted(&mut self) -> &'a [u8] {
        self.peek();
        let start = self.at + 1;
        let mut end = start;
        loop {
            let mark = memchr2(b'"', b'\\', &self.text[end..]);
            end += mark.expect("strings of valid JSON have an end");
            if self.text[end] == b'"' {
                break;
            }
            end += 2;
        }
        self.at = end + 1;
        &self.text[start..end]
    }

    /// Reads a number, a boolean or `null`.
    fn scalar(&mut self) -> &'a [u8] {
        self.peek();
        let rest = &self.text[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Skips white space and returns the next byte; 0 at the end.
    fn peek(&mut self) -> u8 {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(text: &str) -> JsonReader<'_> {
        JsonText::check(text.as_bytes()).unwrap().reader()
    }

    #[test]
    fn values_are_read_in_order() {
        let mut reader = reader(r#" { "a\n" : [ 1 , -2e3 ] , "b" : null, "c":true } "#);
        assert_eq!(reader.kind(), JsonKind::Object);
        reader.begin();
        assert_eq!(reader.next_key().unwrap(), "a\n");
        reader.begin();
        assert!(reader.next_item());
        assert_eq!(reader.number(), "1");
        assert!(reader.next_item());
        assert_eq!((reader.number(), reader.next_item()), ("-2e3", false));
        assert_eq!(reader.next_key().unwrap(), "b");
        assert!(!reader.bool());
        assert_eq!(reader.next_key().unwrap(), "c");
        assert!(reader.bool());
        assert_eq!(reader.next_key(), None);
    }

    #[test]
    fn deep_values_are_skipped_without_recursion() {
        let deep = format!("[{}\"]\\\"\"{},7]", "[".repeat(9_998), "]".repeat(9_998));
        let mut reader = reader(&deep);
        reader.begin();
        assert!(reader.next_item());
        reader.skip();
        assert!(reader.next_item());
        assert_eq!((reader.number(), reader.next_item()), ("7", false));
    }
}
