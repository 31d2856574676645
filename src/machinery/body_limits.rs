//! Limits on the number of values in a request body and on their nesting. A few bytes of text
//! become an object of some hundred bytes in memory, so the size of a body alone does not bound
//! memory.

use serde_json::Value;

use crate::meta::Status;

/// Maximum number of values in one body: objects, lists and scalars. An image of the largest size
/// that the server accepts has some ten thousand.
pub(crate) const MAX_VALUES: usize = 200_000;

/// Returns true if the body cannot hold more than [`MAX_VALUES`] values, since each takes at least
/// two bytes.
pub(crate) fn is_short(body: &[u8]) -> bool {
    body.len() <= 2 * MAX_VALUES
}

/// Checks the number of values in a JSON, YAML or protobuf body.
///
/// All bodies are counted as JSON. The YAML reader counts the values of block style itself, and
/// protobuf contains hardly any of the counted characters.
///
/// # Errors
/// 413 if the body holds more than [`MAX_VALUES`] values.
pub(crate) fn check_value_count(body: &[u8]) -> Result<(), Status> {
    if is_short(body) || count_values(body) < MAX_VALUES { Ok(()) } else { Err(too_many_values()) }
}

/// 413 for a body with more than [`MAX_VALUES`] values.
pub(crate) fn too_many_values() -> Status {
    let text = format!(
        "the body of the request holds more than {MAX_VALUES} values, which is more than the server reads"
    );
    Status::failure(413, "RequestEntityTooLarge", text)
}

/// Number of values after the first one: commas and opening brackets outside of strings.
pub(crate) fn count_values(text: &[u8]) -> usize {
    let (mut count, mut in_quotes, mut is_escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_quotes => is_escaped = true,
            b'"' => in_quotes = !in_quotes,
            b',' | b'[' | b'{' if !in_quotes => count += 1,
            _ => {}
        }
    }
    count
}

/// Maximum nesting of an object in a request. No valid object comes near it.
pub(crate) const MAX_DEPTH: usize = 64;

/// Returns true if a value is nested deeper than `left` levels. Stored and returned objects may be
/// nested a little deeper than [`MAX_DEPTH`]; the server must still be able to read them.
pub(crate) fn exceeds_depth(value: &Value, left: usize) -> bool {
    match (value, left.checked_sub(1)) {
        (Value::Object(_) | Value::Array(_), None) => true,
        (Value::Object(fields), Some(left)) => {
            fields.values().any(|value| exceeds_depth(value, left))
        }
        (Value::Array(items), Some(left)) => items.iter().any(|value| exceeds_depth(value, left)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_strings() {
        assert_eq!(count_values(br#"{"a":["b,[{\",",1,{}],"c":2}"#), 6);
        assert_eq!(count_values(br#""\\","#), 1);
        assert_eq!(count_values(b""), 0);
    }

    #[test]
    fn too_many_values_are_rejected_but_long_strings_are_not() {
        let list = |items: usize| format!("[{}0]", "0,".repeat(items));
        assert!(check_value_count(list(MAX_VALUES - 10).as_bytes()).is_ok());
        assert_eq!(check_value_count(list(MAX_VALUES + 1).as_bytes()).unwrap_err().code, 413);
        let text = format!("[\"{}\"]", ",".repeat(3 * MAX_VALUES));
        assert!(check_value_count(text.as_bytes()).is_ok());
    }
}
