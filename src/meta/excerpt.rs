//! Excerpts of client values for messages: the first 2 KiB of a text, with a mark where it was cut.
//!
//! A client chooses how long its values are and how many messages show them. Writing stops at the limit, so that an
//! excerpt never costs more than the limit, however large the value is.

use std::fmt::{self, Write};
use std::io;

/// The longest excerpt, in bytes, without the mark.
pub const MAX_BYTES: usize = 2 << 10;
/// The text that ends a cut excerpt.
pub const MARK: &str = "... (truncated)";

/// A writer that keeps the first [`MAX_BYTES`] bytes and then fails.
#[derive(Debug, Default)]
pub struct Excerpt {
    text: String,
    is_cut: bool,
}

impl Excerpt {
    /// Returns the text, with [`MARK`] at its end if it was cut.
    pub fn finish(mut self) -> String {
        if self.is_cut {
            self.text.push_str(MARK);
        }
        self.text
    }
}

impl Write for Excerpt {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = MAX_BYTES - self.text.len();
        if self.is_cut || part.len() > room {
            if !self.is_cut {
                self.text.push_str(&part[..part.floor_char_boundary(room)]);
            }
            self.is_cut = true;
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}

impl io::Write for Excerpt {
    /// Takes whole characters only, as serializers of JSON write them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.write_str(part).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The excerpt of a value.
pub fn of(value: impl fmt::Display) -> String {
    let mut excerpt = Excerpt::default();
    // The only failure is that of a full excerpt, which its mark shows.
    let _ = write!(excerpt, "{value}");
    excerpt.finish()
}

/// The excerpt of a text in double quotes, with the escapes of Go's `%q`. The mark stands behind the closing quote.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().min(MAX_BYTES) + 2);
    quoted.push('"');
    for letter in text.chars() {
        if quoted.len() > MAX_BYTES {
            return quoted + "\"" + MARK;
        }
        push_escaped(&mut quoted, letter);
    }
    quoted.push('"');
    quoted
}

fn push_escaped(quoted: &mut String, letter: char) {
    match letter {
        '"' => quoted.push_str("\\\""),
        '\\' => quoted.push_str("\\\\"),
        '\n' => quoted.push_str("\\n"),
        '\t' => quoted.push_str("\\t"),
        '\r' => quoted.push_str("\\r"),
        '\u{7}' => quoted.push_str("\\a"),
        '\u{8}' => quoted.push_str("\\b"),
        '\u{b}' => quoted.push_str("\\v"),
        '\u{c}' => quoted.push_str("\\f"),
        letter if u32::from(letter) < 0x20 || letter == '\u{7f}' => {
            quoted.push_str(&format!("\\x{:02x}", u32::from(letter)));
        }
        letter if is_unprintable(letter) && u32::from(letter) < 0x10000 => {
            quoted.push_str(&format!("\\u{:04x}", u32::from(letter)));
        }
        letter if is_unprintable(letter) => quoted.push_str(&format!("\\U{:08x}", u32::from(letter))),
        letter => quoted.push(letter),
    }
}

/// Reports whether Go's `%q` prints a character as it is.
pub fn is_printable(letter: char) -> bool {
    !is_unprintable(letter)
}

/// Characters beyond ASCII that Go does not print: controls, separators, private use, the byte order mark.
fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || (letter.is_whitespace() && letter != ' ')
        || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(letter, '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || u32::from(letter) >= 0xe0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_stay_as_they_are() {
        let text = "é".repeat(MAX_BYTES / 2);
        assert_eq!(of(&text), text);
        assert_eq!(of(format_args!("{}-{}", 1, "x")), "1-x");
        assert_eq!(quoted("a\"b\\\n\u{1}\u{2028}é"), r#""a\"b\\\n\x01\u2028é""#);
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let text = "é".repeat(100_000);
        assert_eq!(of(format_args!("x{text}")), format!("x{}{MARK}", &text[..MAX_BYTES - 2]));
        assert_eq!(quoted(&text), format!("\"{}\"{MARK}", &text[..MAX_BYTES]));
        let escapes = quoted(&"\u{1}".repeat(100_000));
        assert!(escapes.len() < MAX_BYTES + 64 && escapes.ends_with(&format!("\\x01\"{MARK}")), "{escapes}");
    }

    #[test]
    fn a_value_is_not_written_beyond_the_limit() {
        struct InfiniteText;
        impl fmt::Display for InfiniteText {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("more")?;
                }
            }
        }
        assert_eq!(of(InfiniteText).len(), MAX_BYTES + MARK.len());
    }
}
