//! Parser from text to [`Node`]s with the errors of Go's `encoding/json`.

use super::{GoJsonError, Node};
use crate::meta::field;

/// Maximum nesting. Protects the stack against hostile input; real manifests have few levels.
const MAX_DEPTH: usize = 200;

/// Parses the whole text as one value.
pub(super) fn parse(text: &str) -> Result<Node, GoJsonError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let node = parser.value()?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected("after top-level value")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn value(&mut self) -> Result<Node, GoJsonError> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => Ok(Node::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(Node::Number(self.number()?)),
            Some(b't') => self.literal("true", Node::Bool(true)),
            Some(b'f') => self.literal("false", Node::Bool(false)),
            Some(b'n') => self.literal("null", Node::Null),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Node, GoJsonError>,
    ) -> Result<Node, GoJsonError> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(GoJsonError("exceeded max depth".into()));
        }
        let node = read(self);
        self.depth -= 1;
        node
    }

    fn object(&mut self) -> Result<Node, GoJsonError> {
        let mut entries = Vec::new();
        if self.skip(b'}') {
            return Ok(Node::Object(entries));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key = self.string()?;
            if !self.skip(b':') {
                return Err(self.unexpected("after object key"));
            }
            entries.push((key, self.value()?));
            if self.skip(b'}') {
                return Ok(Node::Object(entries));
            }
            if !self.skip(b',') {
                return Err(self.unexpected("after object key:value pair"));
            }
        }
    }

    fn list(&mut self) -> Result<Node, GoJsonError> {
        let mut items = Vec::new();
        if self.skip(b']') {
            return Ok(Node::List(items));
        }
        loop {
            items.push(self.value()?);
            if self.skip(b']') {
                return Ok(Node::List(items));
            }
            if !self.skip(b',') {
                return Err(self.unexpected("after array element"));
            }
        }
    }

    fn string(&mut self) -> Result<String, GoJsonError> {
        self.at += 1;
        let mut string = String::new();
        loop {
            let start = self.at;
            while self.byte().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            string.push_str(&self.text[start..self.at]);
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => string.push(self.escape()?),
                _ => return Err(self.unexpected("in string literal")),
            }
        }
        self.at += 1;
        Ok(string)
    }

    fn escape(&mut self) -> Result<char, GoJsonError> {
        self.at += 1;
        let letter = match self.byte() {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(letter)
    }

    /// Parses a code unit or a surrogate pair. An unpaired surrogate becomes the replacement
    /// character.
    fn unicode(&mut self) -> Result<char, GoJsonError> {
        let unit = self.code_unit()?;
        let after = self.at;
        if (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with("\\u") {
            self.at += 1;
            let low = self.code_unit()?;
            if (0xdc00..0xe000).contains(&low) {
                let both = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = after;
        }
        Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn code_unit(&mut self) -> Result<u32, GoJsonError> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16
                + digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<String, GoJsonError> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(self.text[start..self.at].into())
    }

    fn digits(&mut self, place: &str) -> Result<(), GoJsonError> {
        if !self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.unexpected(place));
        }
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str, node: Node) -> Result<Node, GoJsonError> {
        for letter in word.bytes() {
            if self.byte() != Some(letter) {
                return Err(self.unexpected(&format!(
                    "in literal {word} (expecting '{}')",
                    char::from(letter)
                )));
            }
            self.at += 1;
        }
        Ok(node)
    }

    /// Skips white space and returns the next byte.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.byte()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Returns the error for the current byte. Go shows a single byte even of a multibyte
    /// character.
    fn unexpected(&self, place: &str) -> GoJsonError {
        let shown = match self.byte() {
            None => return GoJsonError("unexpected end of JSON input".into()),
            Some(b'\'') => r"'\''".into(),
            Some(b'"') => "'\"'".into(),
            Some(byte) => {
                format!("'{}'", field::quote(&char::from(byte).to_string()).trim_matches('"'))
            }
        };
        GoJsonError(format!("invalid character {shown} {place}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn errors_have_the_texts_of_go() {
        for (text, expected) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":[1", "unexpected end of JSON input"),
            ("{not json", "invalid character 'n' looking for beginning of object key string"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("oops", "invalid character 'o' looking for beginning of value"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e'", "invalid character '\\'' in exponent of numeric literal"),
            ("tRue", "invalid character 'R' in literal true (expecting 'r')"),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        assert!(parse(&format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH))).is_ok());
        assert_eq!(error(&"[".repeat(1_000_000)), "exceeded max depth");
    }

    #[test]
    fn escapes_are_decoded_and_lone_surrogates_replaced() {
        assert_eq!(
            parse(r#""\u00e9\ud83d\ude00\n\ud83dx""#).unwrap(),
            Node::Text("é😀\n\u{fffd}x".into())
        );
    }

    proptest! {
        #[test]
        fn parser_accepts_what_serde_json_accepts(text in "\\PC*|[\\[\\]{}\",:0-9.eE+\\-truefalsn\\\\ ]{0,30}") {
            let serde = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text);
            prop_assert_eq!(parse(&text).is_ok(), serde.is_ok());
        }
    }
}
