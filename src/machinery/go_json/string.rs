//! JSON strings as Go's `unquote` reads them.

use std::borrow::Cow;
use std::iter::repeat_n;

use memchr::memchr;

/// Decodes the content of a valid JSON string, without its quotes.
///
/// A lone surrogate becomes U+FFFD, and so does each byte that is not part of a UTF-8 character.
pub(super) fn unquote(content: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(content) {
        Ok(text) if memchr(b'\\', content).is_none() => Cow::Borrowed(text),
        _ => Cow::Owned(unescape(content)),
    }
}

fn unescape(mut content: &[u8]) -> String {
    let mut text = String::with_capacity(content.len());
    while let Some(at) = memchr(b'\\', content) {
        push_lossy(&mut text, &content[..at]);
        content = &content[at..];
        let (letter, length) = match content[1] {
            b'u' => unicode(content),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            other => (char::from(other), 2),
        };
        text.push(letter);
        content = &content[length..];
    }
    push_lossy(&mut text, content);
    text
}

/// Appends text, with one U+FFFD for each invalid byte. `from_utf8_lossy` has one for each invalid
/// sequence.
fn push_lossy(text: &mut String, bytes: &[u8]) {
    if let Ok(valid) = str::from_utf8(bytes) {
        return text.push_str(valid);
    }
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(repeat_n(char::REPLACEMENT_CHARACTER, chunk.invalid().len()));
    }
}

/// Decodes `\uXXXX` or a surrogate pair at the start of a text. Returns the character and the
/// length of its escape.
fn unicode(text: &[u8]) -> (char, usize) {
    let unit = code_unit(text).unwrap_or_default();
    if let Some(letter) = char::from_u32(unit) {
        return (letter, 6);
    }
    let low = code_unit(&text[6..]).filter(|low| (0xdc00..0xe000).contains(low));
    let pair = low.filter(|_| unit < 0xdc00);
    let letter =
        pair.and_then(|low| char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
    letter.map_or((char::REPLACEMENT_CHARACTER, 6), |letter| (letter, 12))
}

/// The code unit of an escape `\uXXXX` at the start of a text.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_lone_surrogates_replaced() {
        for (content, expected) in [
            (r"\u00e9\ud83d\ude00\n\/\b\f\r\t\\", "é😀\n/\u{8}\u{c}\r\t\\"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ude00x", "\u{fffd}x"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ud83d", "\u{fffd}"),
        ] {
            assert_eq!(unquote(content.as_bytes()), expected, "{content}");
        }
    }

    #[test]
    fn each_invalid_byte_is_replaced() {
        assert_eq!(unquote(b"caf\xe9!"), "caf\u{fffd}!");
        assert_eq!(
            unquote(b"\xe4\xb8\\n\xf0\x9f\x98"),
            "\u{fffd}\u{fffd}\n\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(unquote(b"\xed\xa0\x80"), "\u{fffd}\u{fffd}\u{fffd}");
    }
}
