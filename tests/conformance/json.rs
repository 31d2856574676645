//! JSON in the format of the recordings, and paths into it, independent of cases.

use std::io;

use serde::Serialize;
use serde_json::{Value, ser::Formatter};

/// Writes JSON with a space after commas and colons and with every character escaped that is not
/// printable ASCII. Recorded request bodies have this format, and some recorded messages quote
/// them.
pub(crate) fn spaced(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
    value.serialize(&mut writer).expect("a JSON value can be written to memory");
    String::from_utf8(bytes).expect("the formatter writes ASCII")
}

/// Splits a path like `a.b[0].c` into its parts; an empty path is the whole value.
pub(crate) fn parts(place: &str) -> impl DoubleEndedIterator<Item = &str> {
    place.split(['.', '[', ']']).filter(|part| !part.is_empty())
}

/// Value at a path, if any.
pub(crate) fn lookup<'a>(value: &'a Value, place: &str) -> Option<&'a Value> {
    parts(place).try_fold(value, |value, part| match value {
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => value.get(part),
    })
}

/// Mutable value at a path, if any.
pub(crate) fn lookup_mut<'a>(value: &'a mut Value, place: &str) -> Option<&'a mut Value> {
    parts(place).try_fold(value, |value, part| match value {
        Value::Array(list) => list.get_mut(part.parse::<usize>().ok()?),
        _ => value.get_mut(part),
    })
}

/// Removes the value at a path, if any.
pub(crate) fn remove(value: &mut Value, place: &str) {
    let mut path: Vec<&str> = parts(place).collect();
    let Some(last) = path.pop() else { return };
    match lookup_mut(value, &path.join(".")) {
        Some(Value::Object(object)) => {
            object.shift_remove(last);
        }
        Some(Value::Array(list)) => {
            if let Some(index) = last.parse().ok().filter(|&index: &usize| index < list.len()) {
                list.remove(index);
            }
        }
        _ => {}
    }
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for letter in fragment.chars() {
            if matches!(letter, ' '..='~') {
                writer.write_all(&[letter as u8])?;
                continue;
            }
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_written_with_spaces_and_in_printable_ascii() {
        let value = json!({"b": [1, 1.5, null], "a": {"ü": "😀\n\u{7f}"}, "c": []});
        assert_eq!(
            spaced(&value),
            r#"{"b": [1, 1.5, null], "a": {"\u00fc": "\ud83d\ude00\n\u007f"}, "c": []}"#
        );
    }

    #[test]
    fn a_place_leads_through_objects_and_lists() {
        let value = json!({"a": {"b": [{"c": 1}]}});
        assert_eq!(lookup(&value, "a.b[0].c"), Some(&json!(1)));
        assert_eq!(lookup(&value, ""), Some(&value));
        assert_eq!(lookup(&value, "a.b[1].c"), None);
        assert_eq!(lookup(&value, "a.b.x"), None);
    }

    #[test]
    fn what_is_taken_away_leaves_the_rest_in_order() {
        let mut value = json!({"a": 1, "b": [1, 2], "c": 3});
        for place in ["a", "b[0]", "b[7]", "nothing.here"] {
            remove(&mut value, place);
        }
        assert_eq!(value.to_string(), r#"{"b":[2],"c":3}"#);
    }
}
