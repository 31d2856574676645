//! Excerpts of client-supplied values for messages: the first 2 KiB of a text, with a mark if it
//! was truncated.
//!
//! Clients choose the length of their values and the number of messages that show them. Formatting
//! stops at the limit, so an excerpt of a large value costs no more than one of a small value.

use std::fmt::{self, Write};
use std::io;

/// Maximum length of an excerpt in bytes, without the mark.
pub const MAX_BYTES: usize = 2 << 10;
/// Mark at the end of a truncated excerpt.
pub const MARK: &str = "... (truncated)";

/// Writer that keeps the first [`MAX_BYTES`] bytes and then returns an error.
#[derive(Debug, Default)]
pub struct Excerpt {
    text: String,
    is_truncated: bool,
}

impl Excerpt {
    /// Returns the text, followed by [`MARK`] if it was truncated.
    pub fn finish(mut self) -> String {
        if self.is_truncated {
            self.text.push_str(MARK);
        }
        self.text
    }
}

impl Write for Excerpt {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = MAX_BYTES - self.text.len();
        if self.is_truncated || part.len() > room {
            if !self.is_truncated {
                self.text.push_str(&part[..part.floor_char_boundary(room)]);
            }
            self.is_truncated = true;
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}

impl io::Write for Excerpt {
    /// Accepts whole characters only. serde_json writes no partial ones.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.write_str(part).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns an excerpt of a value.
pub fn of(value: impl fmt::Display) -> String {
    let mut excerpt = Excerpt::default();
    // The only possible error is that of a full excerpt, which ends with the mark.
    let _ = write!(excerpt, "{value}");
    excerpt.finish()
}

/// Returns an excerpt of a text in double quotes with the escapes of Go's `%q`. The mark follows
/// the closing quote.
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
        letter if is_unprintable(letter) => {
            quoted.push_str(&format!("\\U{:08x}", u32::from(letter)))
        }
        letter => quoted.push(letter),
    }
}

/// Returns true if Go's `%q` prints the character without an escape.
pub fn is_printable(letter: char) -> bool {
    !is_unprintable(letter)
}

/// Returns true for controls, separators, private use characters and the byte order mark, which
/// `strconv.IsPrint` in Go rejects.
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
    fn short_values_are_kept() {
        let text = "é".repeat(MAX_BYTES / 2);
        assert_eq!(of(&text), text);
        assert_eq!(of(format_args!("{}-{}", 1, "x")), "1-x");
        assert_eq!(quoted("a\"b\\\n\u{1}\u{2028}é"), r#""a\"b\\\n\x01\u2028é""#);
    }

    #[test]
    fn long_values_are_truncated_between_characters() {
        let text = "é".repeat(100_000);
        assert_eq!(of(format_args!("x{text}")), format!("x{}{MARK}", &text[..MAX_BYTES - 2]));
        assert_eq!(quoted(&text), format!("\"{}\"{MARK}", &text[..MAX_BYTES]));
        let escapes = quoted(&"\u{1}".repeat(100_000));
        assert!(
            escapes.len() < MAX_BYTES + 64 && escapes.ends_with(&format!("\\x01\"{MARK}")),
            "{escapes}"
        );
    }

    #[test]
    fn formatting_stops_at_the_limit() {
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
