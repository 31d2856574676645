//! Syntax check of JSON with the errors of the scanner in Go's `encoding/json`.

use super::GoJsonError;
use crate::meta::field;

/// Maximum nesting (`maxNestingDepth` in Go's scanner.go).
const MAX_DEPTH: usize = 10_000;

/// Bytes of a string that are checked at once.
const PLAIN_BLOCK: usize = 16;

/// Checks that the whole text is one value. The containers that are open are a list, not a
/// recursion, so the nesting takes no stack.
pub(super) fn check(text: &[u8]) -> Result<(), GoJsonError> {
    let mut scanner = SyntaxScanner { text, at: 0, open: Vec::new() };
    scanner.values()?;
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(scanner.unexpected("after top-level value")),
    }
}

/// A container that has begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    List,
}

struct SyntaxScanner<'a> {
    text: &'a [u8],
    at: usize,
    open: Vec<Container>,
}

impl SyntaxScanner<'_> {
    /// Reads a value with all that it contains.
    fn values(&mut self) -> Result<(), GoJsonError> {
        loop {
            let is_container = match self.peek() {
                Some(b'{') => self.begin(Container::Object, b'}')?,
                Some(b'[') => self.begin(Container::List, b']')?,
                _ => {
                    self.scalar()?;
                    false
                }
            };
            if is_container {
                continue;
            }
            // A value is complete, and with it all containers that end here.
            loop {
                let Some(container) = self.open.last().copied() else { return Ok(()) };
                let (end, place) = match container {
                    Container::Object => (b'}', "after object key:value pair"),
                    Container::List => (b']', "after array element"),
                };
                if self.skip(end) {
                    self.open.pop();
                } else if !self.skip(b',') {
                    return Err(self.unexpected(place));
                } else {
                    if container == Container::Object {
                        self.key()?;
                    }
                    break;
                }
            }
        }
    }

    /// Begins a container. Returns false if it is empty, that is, complete.
    fn begin(&mut self, container: Container, end: u8) -> Result<bool, GoJsonError> {
        self.at += 1;
        if self.open.len() == MAX_DEPTH {
            return Err(GoJsonError("exceeded max depth".into()));
        }
        if self.skip(end) {
            return Ok(false);
        }
        self.open.push(container);
        if container == Container::Object {
            self.key()?;
        }
        Ok(true)
    }

    /// Reads a key and the colon behind it.
    fn key(&mut self) -> Result<(), GoJsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        self.string()?;
        match self.skip(b':') {
            true => Ok(()),
            false => Err(self.unexpected("after object key")),
        }
    }

    fn scalar(&mut self) -> Result<(), GoJsonError> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn string(&mut self) -> Result<(), GoJsonError> {
        let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
        self.at += 1;
        loop {
            // Without an early end, the compiler checks the bytes of a block at once.
            while let Some(block) = self.text[self.at..].first_chunk::<PLAIN_BLOCK>()
                && block.iter().fold(true, |plain, byte| plain & is_plain(byte))
            {
                self.at += PLAIN_BLOCK;
            }
            while self.byte().as_ref().is_some_and(is_plain) {
                self.at += 1;
            }
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(self.unexpected("in string literal")),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), GoJsonError> {
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
            Some(b'u') => {
                for _ in 0..4 {
                    self.at += 1;
                    if !self.byte().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.unexpected("in \\u hexadecimal character escape"));
                    }
                }
            }
            _ => return Err(self.unexpected("in string escape code")),
        }
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Result<(), GoJsonError> {
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
        Ok(())
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

    fn literal(&mut self, word: &str) -> Result<(), GoJsonError> {
        for letter in word.bytes() {
            if self.byte() != Some(letter) {
                let letter = char::from(letter);
                let place = format!("in literal {word} (expecting '{letter}')");
                return Err(self.unexpected(&place));
            }
            self.at += 1;
        }
        Ok(())
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
        self.text.get(self.at).copied()
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
        check(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn errors_have_the_texts_of_go() {
        for (text, expected) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":[1", "unexpected end of JSON input"),
            ("{not json", "invalid character 'n' looking for beginning of object key string"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("oops", "invalid character 'o' looking for beginning of value"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e'", "invalid character '\\'' in exponent of numeric literal"),
            ("tRue", "invalid character 'R' in literal true (expecting 'r')"),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn nesting_has_the_limit_of_go() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(error(&nested(MAX_DEPTH + 1)), "exceeded max depth");
        assert_eq!(error(&"[".repeat(1_000_000)), "exceeded max depth");
    }

    #[test]
    fn strings_may_have_bytes_that_are_not_utf8() {
        assert_eq!(check(b"\"caf\xe9\""), Ok(()));
        let text = check(b"[\xe9]").unwrap_err().to_string();
        assert_eq!(text, "invalid character 'é' looking for beginning of value");
    }

    proptest! {
        #[test]
        fn check_accepts_what_serde_json_accepts(text in "\\PC*|[\\[\\]{}\",:0-9.eE+\\-truefalsn\\\\ ]{0,30}") {
            let serde = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text);
            prop_assert_eq!(check(text.as_bytes()).is_ok(), serde.is_ok());
        }
    }
}
