//! An estimate of the memory that a request body takes once it is decoded, from a count of its
//! values. A manifest in a string is one value, while an array of empty objects takes hundreds of
//! times its bytes.
//!
//! `tests/memory.rs` compares the estimates with measured peaks.

use crate::machinery::body_limits::MAX_VALUES;
use crate::machinery::media_type;
use crate::machinery::protobuf;

/// The memory of a decoded body by its parts, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BodyCost {
    of_byte: u64,
    of_object: u64,
    of_value: u64,
}

/// The number of values in a body, at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ValueCount {
    objects: usize,
    others: usize,
}

/// A complete object or a patch of one. A tag of a few bytes becomes a typed object with all of its
/// fields, in several copies: for admission, validation and managed fields.
const WRITE: BodyCost = BodyCost { of_byte: 12, of_object: 7_500, of_value: 900 };
/// Server-side apply, which needs no copy of the patch.
const APPLY: BodyCost = BodyCost { of_byte: 16, of_object: 5_000, of_value: 1_000 };

/// The estimated memory of a body of this media type once it is decoded, in bytes.
pub fn decoded_bytes(content_type: &str, body: &[u8]) -> u64 {
    let media_type = media_type::parse_content_type(content_type).unwrap_or_default();
    let (cost, count) = match media_type.as_str() {
        "application/apply-patch+yaml" => (APPLY, count_yaml(body)),
        "application/yaml" => (WRITE, count_yaml(body)),
        protobuf::MEDIA_TYPE => (WRITE, count_protobuf(body)),
        _ => (WRITE, count_json(body)),
    };
    // Bodies with more values are refused.
    let objects = count.objects.min(2 * MAX_VALUES) as u64;
    let others = count.others.min(2 * MAX_VALUES) as u64;
    cost.of_byte * body.len() as u64 + cost.of_object * objects + cost.of_value * others
}

/// Counts braces, brackets and commas outside of strings.
fn count_json(body: &[u8]) -> ValueCount {
    let (mut count, mut in_quotes, mut is_escaped) = (ValueCount::default(), false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_quotes => is_escaped = true,
            b'"' => in_quotes = !in_quotes,
            b'{' if !in_quotes => count.objects += 1,
            b',' | b'[' if !in_quotes => count.others += 1,
            _ => {}
        }
    }
    count
}

/// Counts lines, and as objects: items of sequences and indicators of flow style, even in block
/// scalars. JSON is counted as such. A body with aliases may expand to the limit of the YAML reader.
fn count_yaml(body: &[u8]) -> ValueCount {
    if body.trim_ascii_start().starts_with(b"{") {
        return count_json(body);
    }
    let mut count = ValueCount::default();
    for line in body.split(|byte| *byte == b'\n') {
        let is_item = line.trim_ascii_start().starts_with(b"-");
        let indicators = line.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
        count.objects += indicators + usize::from(is_item);
        count.others += 1;
    }
    let has_alias = body.windows(2).any(|pair| {
        matches!(pair[0], b' ' | b'\n' | b'\t' | b',' | b'[' | b'{' | b':' | b'-')
            && pair[1] == b'*'
    });
    if has_alias && body.contains(&b'&') {
        count.objects = count.objects.max(max_yaml_nodes(body.len()));
    }
    count
}

/// Counts fields, and as objects: those whose content is a valid message, such as an empty one. Few
/// texts are valid messages.
fn count_protobuf(body: &[u8]) -> ValueCount {
    /// No message of the API is nested deeper. A message at this depth counts as empty messages of
    /// two bytes.
    const MAX_DEPTH: usize = 24;
    let message = body.strip_prefix(b"k8s\0").unwrap_or(body);
    count_message(message, MAX_DEPTH).unwrap_or(ValueCount { objects: body.len() / 2, others: 0 })
}

/// The values in a message; none if it is not a valid one.
fn count_message(mut message: &[u8], depth: usize) -> Option<ValueCount> {
    let mut count = ValueCount::default();
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => drop(varint(&mut message)?),
            1 => message = message.get(8..)?,
            5 => message = message.get(4..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (field, rest) = message.split_at_checked(length)?;
                message = rest;
                let inner = match depth.checked_sub(1) {
                    Some(depth) => count_message(field, depth),
                    None => Some(ValueCount { objects: field.len() / 2, others: 0 }),
                };
                if let Some(inner) = inner {
                    count.objects += inner.objects + 1;
                    count.others += inner.others;
                }
            }
            _ => return None,
        }
        count.others += 1;
        if tag >> 3 == 0 {
            return None;
        }
    }
    Some(count)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The maximum number of nodes that a YAML body of this length may expand to. A key is a node as well, so an object
/// has up to two for each of its values.
pub(crate) fn max_yaml_nodes(body_bytes: usize) -> usize {
    /// A few kilobytes with a shared `&base` reach thousands of nodes.
    const MIN: usize = 20_000;
    (body_bytes / 2).clamp(MIN, 2 * MAX_VALUES + 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn count(objects: usize, others: usize) -> ValueCount {
        ValueCount { objects, others }
    }

    #[test]
    fn strings_cost_less_than_values() {
        let manifest = format!("{{\"a\":\"{}\"}}", "x,{".repeat(1 << 18));
        assert!(decoded_bytes("application/json", manifest.as_bytes()) < 10 * MIB);
        let objects = format!("[{}]", "{},".repeat(1 << 18));
        assert!(decoded_bytes("application/json", objects.as_bytes()) > 500 * MIB);
    }

    #[test]
    fn json_is_counted_outside_of_strings() {
        assert_eq!(count_json(br#"{"a":["b,[{\",",1,{}],"c":2}"#), count(2, 4));
    }

    #[test]
    fn yaml_counts_items_lines_and_flow_style() {
        assert_eq!(count_yaml(b"a:\n- b: c\n- d"), count(2, 3));
        assert_eq!(count_yaml(b"a: [b: 1, {c: d}]"), count(3, 1));
        assert_eq!(count_yaml(b" {\"a\": \"b,c\"}"), count(1, 0));
    }

    #[test]
    fn aliases_count_as_what_they_may_expand_to() {
        assert_eq!(count_yaml(b"a: &x b\nc: *x\n").objects, 20_000);
        assert_eq!(count_yaml(b"a: 2 & 3*4\n").objects, 0);
    }

    #[test]
    fn protobuf_counts_messages() {
        // Field 1: a message with field 2 = 7 and an empty field 3. Field 4: a text of JSON.
        let message = b"\x0a\x04\x10\x07\x1a\x00\x22\x02{}";
        assert_eq!(count_protobuf(message), count(2, 4));
        assert_eq!(count_protobuf(b"{}"), count(1, 0));
        let nested = (0..60).fold(Vec::new(), |inner: Vec<u8>, _| {
            [&[0x0a, inner.len() as u8][..], &inner].concat()
        });
        assert!(count_protobuf(&nested[..]).objects >= 60, "{:?}", count_protobuf(&nested));
    }

    proptest::proptest! {
        #[test]
        fn no_body_panics(body: Vec<u8>) {
            for kind in ["application/json", "application/yaml", protobuf::MEDIA_TYPE] {
                decoded_bytes(kind, &body);
            }
        }
    }
}
