//! How many values a body may hold. A few bytes of text stand for an object of some hundred in memory, so the size of a body
//! alone bounds little.

use serde_json::Value;

use crate::meta::Status;

/// The most values that are read of one body: objects, lists, and what these hold. An object of the largest size that is
/// about images has some ten thousand.
pub(crate) const MAX_VALUES: usize = 200_000;

/// Whether a body is too short to hold more values than that: each takes two bytes at least.
pub(crate) fn is_short(body: &[u8]) -> bool {
    body.len() <= 2 * MAX_VALUES
}

/// 413, if a text in JSON holds too many values. YAML is counted as if it were JSON: what it sets apart by lines its reader
/// counts itself, and in protobuf there is hardly a mark.
///
/// # Errors
/// That 413.
pub(crate) fn check_value_count(body: &[u8]) -> Result<(), Status> {
    if is_short(body) || count_values(body) < MAX_VALUES { Ok(()) } else { Err(too_many_values()) }
}

/// 413: there are too many values in a body.
pub(crate) fn too_many_values() -> Status {
    let text =
        format!("the body of the request holds more than {MAX_VALUES} values, which is more than the server reads");
    Status::failure(413, "RequestEntityTooLarge", text)
}

/// How often values begin, but for the first, outside of what is in quotes.
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

/// The deepest nesting of an object. Nothing that belongs into one comes near it.
pub(crate) const MAX_DEPTH: usize = 64;

/// Whether a value is nested deeper than anything that belongs into an object. What is stored and sent is nested a
/// little deeper than what came in, and must still be readable.
pub(crate) fn exceeds_depth(value: &Value, left: usize) -> bool {
    match (value, left.checked_sub(1)) {
        (Value::Object(_) | Value::Array(_), None) => true,
        (Value::Object(fields), Some(left)) => fields.values().any(|value| exceeds_depth(value, left)),
        (Value::Array(items), Some(left)) => items.iter().any(|value| exceeds_depth(value, left)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(count_values(br#"{"a":["b,[{\",",1,{}],"c":2}"#), 6);
        assert_eq!(count_values(br#""\\","#), 1);
        assert_eq!(count_values(b""), 0);
    }

    #[test]
    fn too_many_values_are_refused_and_a_long_text_is_none_of_them() {
        let list = |items: usize| format!("[{}0]", "0,".repeat(items));
        assert!(check_value_count(list(MAX_VALUES - 10).as_bytes()).is_ok());
        assert_eq!(check_value_count(list(MAX_VALUES + 1).as_bytes()).unwrap_err().code, 413);
        let text = format!("[\"{}\"]", ",".repeat(3 * MAX_VALUES));
        assert!(check_value_count(text.as_bytes()).is_ok());
    }
}
