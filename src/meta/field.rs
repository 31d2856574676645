//! Faults of single fields, with the texts that Kubernetes' validation uses.

use std::collections::HashSet;
use std::fmt;

use super::Cause;

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The field must be set. Carries a remark, which may be empty.
    Required(String),
    /// The value breaks a rule.
    Invalid {
        /// The value as it is shown: strings quoted.
        value: String,
        /// The rule.
        rule: String,
    },
    /// The field must not be set, or not so.
    Forbidden(String),
    /// The value is not one of a closed set.
    Unsupported {
        /// The value as it is shown.
        value: String,
        /// The set.
        supported: Vec<&'static str>,
    },
    /// The value is longer than this many bytes.
    TooLong(usize),
    /// What the value names does not exist. Carries the value as it is shown.
    NotFound(String),
    /// Something that is told for the object as a whole.
    Internal(String),
}

/// A fault and the field that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Path of the field, for example `spec.tags[latest].from`.
    pub field: String,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Error {
    /// The field must be set; `remark` may be empty.
    pub fn required(field: impl Into<String>, remark: impl Into<String>) -> Self {
        Self { field: field.into(), fault: Fault::Required(remark.into()) }
    }

    /// The text `value` breaks `rule`.
    pub fn invalid(field: impl Into<String>, value: &str, rule: impl Into<String>) -> Self {
        Self::invalid_value(field, quote(value), rule)
    }

    /// `value`, shown as it is, breaks `rule`.
    pub fn invalid_value(field: impl Into<String>, value: impl fmt::Display, rule: impl Into<String>) -> Self {
        Self { field: field.into(), fault: Fault::Invalid { value: value.to_string(), rule: rule.into() } }
    }

    /// The field must not be set, or not so.
    pub fn forbidden(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), fault: Fault::Forbidden(why.into()) }
    }

    /// The text `value` is not one of `supported`.
    pub fn unsupported(field: impl Into<String>, value: &str, supported: &[&'static str]) -> Self {
        Self { field: field.into(), fault: Fault::Unsupported { value: quote(value), supported: supported.to_vec() } }
    }

    /// What the text `value` names does not exist.
    pub fn not_found(field: impl Into<String>, value: &str) -> Self {
        Self { field: field.into(), fault: Fault::NotFound(quote(value)) }
    }

    /// The same fault, with `prefix` before the field's path.
    pub fn under(mut self, prefix: &str) -> Self {
        self.field = format!("{prefix}.{}", self.field);
        self
    }

    /// The fault as one of the causes of a `Status`.
    pub fn cause(&self) -> Cause {
        let reason = match self.fault {
            Fault::Required(_) => "FieldValueRequired",
            Fault::Invalid { .. } => "FieldValueInvalid",
            Fault::Forbidden(_) => "FieldValueForbidden",
            Fault::Unsupported { .. } => "FieldValueNotSupported",
            Fault::TooLong(_) => "FieldValueTooLong",
            Fault::NotFound(_) => "FieldValueNotFound",
            Fault::Internal(_) => "InternalError",
        };
        Cause { reason: reason.into(), message: self.fault.to_string(), field: self.field.clone() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required(remark) if remark.is_empty() => f.write_str("Required value"),
            Self::Required(remark) => write!(f, "Required value: {remark}"),
            Self::Invalid { value, rule } => write!(f, "Invalid value: {value}: {rule}"),
            Self::Forbidden(why) => write!(f, "Forbidden: {why}"),
            Self::Unsupported { value, supported } => {
                let supported: Vec<_> = supported.iter().map(|each| quote(each)).collect();
                write!(f, "Unsupported value: {value}: supported values: {}", supported.join(", "))
            }
            Self::NotFound(value) => write!(f, "Not found: {value}"),
            Self::Internal(text) => write!(f, "Internal error: {text}"),
            Self::TooLong(most) => write!(f, "Too long: may not be more than {most} bytes"),
        }
    }
}

/// At most this many faults of one object are told.
pub const MOST_TOLD: usize = 100;

/// Several faults in one line: one as it is, more in brackets, each text once.
pub fn join(errors: &[Error]) -> String {
    let mut seen = HashSet::new();
    let mut texts: Vec<String> = errors.iter().take(MOST_TOLD).map(Error::to_string).collect();
    texts.retain(|text| seen.insert(text.clone()));
    if let Some(more) = errors.len().checked_sub(MOST_TOLD + 1) {
        texts.push(format!("and {} more", more + 1));
    }
    match &texts[..] {
        [one] => one.clone(),
        more => format!("[{}]", more.join(", ")),
    }
}

/// Text in double quotes, with the escapes of Go's `%q`, as error messages show values.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
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
    quoted.push('"');
    quoted
}

/// Whether Go prints a character as it is.
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
    fn one_fault_stands_alone_and_several_in_brackets_once_each() {
        let (a, b) = (Error::required("a", ""), Error::forbidden("b", "why"));
        assert_eq!(join(std::slice::from_ref(&a)), "a: Required value");
        assert_eq!(join(&[a.clone(), b, a]), "[a: Required value, b: Forbidden: why]");
    }

    #[test]
    fn texts_are_quoted_as_go_does() {
        assert_eq!(quote("a\"b\\\n\u{1}\u{2028}é"), r#""a\"b\\\n\x01\u2028é""#);
    }
}
