//! The types of scalars, as `resolve` in `go.yaml.in/yaml/v2/resolve.go`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tree::YamlScalar;
use crate::meta::excerpt;

/// Prefix of the tags of YAML, which are written with `!!`.
const PREFIX: &str = "tag:yaml.org,2002:";

/// The value of a scalar.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ScalarValue {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer over `i64::MAX`.
    Uint(u64),
    Float(f64),
    Text(String),
}

impl ScalarValue {
    /// The name of the type's tag.
    fn tag(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Uint(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
        }
    }
}

/// Returns true for the key of a merge.
pub(super) fn is_merge_key(scalar: &YamlScalar) -> bool {
    let is_tagged = scalar.tag.strip_prefix(PREFIX) == Some("merge");
    scalar.text == "<<" && (scalar.is_plain || is_tagged)
}

/// Determines the value of a scalar from its text and tag.
///
/// # Errors
/// The text is not of the type of the tag.
pub(super) fn resolve(scalar: &YamlScalar) -> Result<ScalarValue, String> {
    let text = scalar.text.as_str();
    if scalar.tag.is_empty() {
        return Ok(if scalar.is_plain { plain(text) } else { ScalarValue::Text(text.into()) });
    }
    let value = match scalar.tag.strip_prefix(PREFIX) {
        Some("binary") => return binary(text),
        Some("bool" | "int" | "null") => plain(text),
        Some("float") => match plain(text) {
            ScalarValue::Int(number) => ScalarValue::Float(number as f64),
            other => other,
        },
        Some("timestamp") if is_timestamp(text) => return Ok(ScalarValue::Text(text.into())),
        Some("timestamp") => plain(text),
        // `!!str`, and tags that are not known.
        _ => return Ok(ScalarValue::Text(text.into())),
    };
    let tag = scalar.tag.strip_prefix(PREFIX).unwrap_or_default();
    if value.tag() == tag {
        return Ok(value);
    }
    let (found, text) = (value.tag(), excerpt::of(text));
    Err(format!("yaml: cannot decode !!{found} `{text}` as a !!{tag}"))
}

/// The value of a plain scalar.
fn plain(text: &str) -> ScalarValue {
    let value = match text.as_bytes().first() {
        None => Some(ScalarValue::Null),
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => {
            word(text)
        }
        Some(b'.') => special_float(text).or_else(|| fraction(text)),
        Some(b'+' | b'-') => special_float(text).or_else(|| number(text)),
        Some(b'0'..=b'9') => number(text),
        Some(_) => None,
    };
    value.unwrap_or_else(|| ScalarValue::Text(text.into()))
}

fn word(text: &str) -> Option<ScalarValue> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(ScalarValue::Bool(true))
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(ScalarValue::Bool(false))
        }
        "~" | "null" | "Null" | "NULL" => Some(ScalarValue::Null),
        _ => None,
    }
}

fn special_float(text: &str) -> Option<ScalarValue> {
    let float = match text {
        ".nan" | ".NaN" | ".NAN" => f64::NAN,
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => f64::INFINITY,
        "-.inf" | "-.Inf" | "-.INF" => f64::NEG_INFINITY,
        _ => return None,
    };
    Some(ScalarValue::Float(float))
}

/// A number that starts with a dot, as `strconv.ParseFloat` reads it.
fn fraction(text: &str) -> Option<ScalarValue> {
    let digits = text.replace('_', "");
    let separates_digits = text.as_bytes().windows(2).all(|pair| match pair {
        [b'_', next] => next.is_ascii_digit(),
        [previous, b'_'] => previous.is_ascii_digit(),
        _ => true,
    });
    if !separates_digits || text.ends_with('_') { None } else { float(&digits) }
}

/// A number that starts with a sign or a digit.
fn number(text: &str) -> Option<ScalarValue> {
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits)).or_else(|| signed_binary(&digits))
}

/// An integer as `strconv.ParseInt` and `strconv.ParseUint` read it with base 0.
fn integer(text: &str) -> Option<ScalarValue> {
    let (is_negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match unsigned.get(..2) {
        Some("0x" | "0X") => (16, &unsigned[2..]),
        Some("0o" | "0O") => (8, &unsigned[2..]),
        Some("0b" | "0B") => (2, &unsigned[2..]),
        Some(zero) if zero.starts_with('0') => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    // `from_str_radix` accepts a sign.
    if !digits.starts_with(|digit: char| digit.is_ascii_alphanumeric()) {
        return None;
    }
    let number = u64::from_str_radix(digits, base).ok()?;
    match (i64::try_from(number), is_negative) {
        (Ok(number), true) => Some(ScalarValue::Int(-number)),
        (Ok(number), false) => Some(ScalarValue::Int(number)),
        (Err(_), true) if number == i64::MIN.unsigned_abs() => Some(ScalarValue::Int(i64::MIN)),
        // `ParseUint` reads no sign.
        (Err(_), false) if unsigned == text => Some(ScalarValue::Uint(number)),
        (Err(_), _) => None,
    }
}

/// A decimal number, as `yamlStyleFloat` in resolve.go.
fn float(text: &str) -> Option<ScalarValue> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_digits = !(whole.is_empty() && fraction.is_empty());
    let has_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && are_digits(digits)
    });
    if !(has_digits && has_exponent && are_digits(whole) && are_digits(fraction)) {
        return None;
    }
    // A number out of range is a text.
    text.parse().ok().filter(|float: &f64| float.is_finite()).map(ScalarValue::Float)
}

/// A number in base 2 with its sign behind the prefix.
fn signed_binary(text: &str) -> Option<ScalarValue> {
    let digits = text.strip_prefix("0b")?;
    let is_signed = digits.starts_with(['+', '-']);
    let number = i64::from_str_radix(digits, 2).ok().filter(|_| is_signed)?;
    Some(ScalarValue::Int(number))
}

/// The bytes of `!!binary`. Bytes that are not UTF-8 become U+FFFD in JSON.
fn binary(text: &str) -> Result<ScalarValue, String> {
    let lines: String = text.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect();
    let invalid = |_| "yaml: !!binary value contains invalid base64 data".to_owned();
    let bytes = STANDARD.decode(lines).map_err(invalid)?;
    let mut decoded = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        decoded.push_str(chunk.valid());
        decoded.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Ok(ScalarValue::Text(decoded))
}

/// Returns true for a text that looks like a time. Its parts are not checked.
fn is_timestamp(text: &str) -> bool {
    let (year, rest) = text.split_once('-').unwrap_or_default();
    year.len() == 4
        && year.bytes().all(|byte| byte.is_ascii_digit())
        && rest.starts_with(|digit: char| digit.is_ascii_digit())
        && rest.chars().all(|letter| letter.is_ascii_digit() || "-:.tTZ +".contains(letter))
}
