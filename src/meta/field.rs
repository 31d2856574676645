//! Faults of single fields, with the texts that Kubernetes' validation uses.

use std::collections::HashSet;
use std::fmt;

pub use super::excerpt::{is_printable, quoted as quote};

use super::limited::{Limited, TextSize};
use super::{StatusCause, excerpt, limited};

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
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
    /// The value is longer than `most` bytes. `actual` is its length, where that helps.
    TooLong {
        /// The limit, in bytes.
        most: usize,
        /// The length, in bytes.
        actual: Option<usize>,
    },
    /// The list has more than `most` items.
    TooMany {
        /// The limit.
        most: usize,
        /// The number of items.
        actual: usize,
    },
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
    pub kind: ErrorKind,
}

/// The constructors take [excerpts](excerpt) of all texts. They are called for errors only, so arguments are best left
/// unformatted until then.
impl Error {
    /// The field must be set; `remark` may be empty.
    pub fn required(field: impl fmt::Display, remark: impl fmt::Display) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::Required(excerpt::of(remark)) }
    }

    /// The text `value` breaks `rule`.
    pub fn invalid(field: impl fmt::Display, value: &str, rule: impl fmt::Display) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::Invalid { value: quote(value), rule: excerpt::of(rule) } }
    }

    /// `value`, shown as it is, breaks `rule`.
    pub fn invalid_value(field: impl fmt::Display, value: impl fmt::Display, rule: impl fmt::Display) -> Self {
        let kind = ErrorKind::Invalid { value: excerpt::of(value), rule: excerpt::of(rule) };
        Self { field: excerpt::of(field), kind }
    }

    /// The field must not be set, or not so.
    pub fn forbidden(field: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::Forbidden(excerpt::of(why)) }
    }

    /// The text `value` is not one of `supported`.
    pub fn unsupported(field: impl fmt::Display, value: &str, supported: &[&'static str]) -> Self {
        let kind = ErrorKind::Unsupported { value: quote(value), supported: supported.to_vec() };
        Self { field: excerpt::of(field), kind }
    }

    /// What the text `value` names does not exist.
    pub fn not_found(field: impl fmt::Display, value: &str) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::NotFound(quote(value)) }
    }

    /// The value may have `most` bytes. Kubernetes does not say how many it has.
    pub fn too_long(field: impl fmt::Display, most: usize) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::TooLong { most, actual: None } }
    }

    /// The value may have `most` bytes and has `actual`.
    pub fn longer(field: impl fmt::Display, actual: usize, most: usize) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::TooLong { most, actual: Some(actual) } }
    }

    /// The list may have `most` items and has `actual`.
    pub fn too_many(field: impl fmt::Display, actual: usize, most: usize) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::TooMany { most, actual } }
    }

    /// The same fault, with `prefix` before the field's path.
    pub fn under(mut self, prefix: impl fmt::Display) -> Self {
        self.field = excerpt::of(format_args!("{prefix}.{}", self.field));
        self
    }

    /// The fault as one of the causes of a `Status`.
    pub fn cause(&self) -> StatusCause {
        let reason = match self.kind {
            ErrorKind::Required(_) => "FieldValueRequired",
            ErrorKind::Invalid { .. } => "FieldValueInvalid",
            ErrorKind::Forbidden(_) => "FieldValueForbidden",
            ErrorKind::Unsupported { .. } => "FieldValueNotSupported",
            ErrorKind::TooLong { .. } => "FieldValueTooLong",
            ErrorKind::TooMany { .. } => "FieldValueTooMany",
            ErrorKind::NotFound(_) => "FieldValueNotFound",
            ErrorKind::Internal(_) => "InternalError",
        };
        StatusCause { reason: reason.into(), message: self.kind.to_string(), field: self.field.clone() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.kind)
    }
}

impl fmt::Display for ErrorKind {
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
            Self::TooLong { most, actual: None } => write!(f, "Too long: may not be more than {most} bytes"),
            Self::TooLong { most, actual: Some(actual) } => {
                write!(f, "Too long: may not be more than {most} bytes, has {actual}")
            }
            // As TooMany in apimachinery's field package.
            Self::TooMany { most, actual } => write!(f, "Too many: {actual}: must have at most {most} items"),
        }
    }
}

/// The most errors of one object.
pub const MAX_ERRORS: usize = limited::MAX_ITEMS;

/// The errors of one object. Bounded, so that validators can neither build nor answer more than a client can read.
pub type Errors = Limited<Error>;

impl TextSize for Error {
    fn text_bytes(&self) -> usize {
        let detail = match &self.kind {
            ErrorKind::Required(text)
            | ErrorKind::Forbidden(text)
            | ErrorKind::NotFound(text)
            | ErrorKind::Internal(text) => text.len(),
            ErrorKind::Invalid { value, rule } => value.len() + rule.len(),
            ErrorKind::Unsupported { value, .. } => value.len(),
            ErrorKind::TooLong { .. } | ErrorKind::TooMany { .. } => 0,
        };
        self.field.len() + detail
    }
}

/// Several errors in one line: one as it is, more in brackets, each text once.
pub fn join(errors: &Errors) -> String {
    let mut seen = HashSet::new();
    let mut texts: Vec<String> = errors.iter().map(Error::to_string).collect();
    texts.retain(|text| seen.insert(text.clone()));
    if errors.is_cut() {
        texts.push("and more, which are not shown".into());
    }
    match &texts[..] {
        [one] => one.clone(),
        more => format!("[{}]", more.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_stands_alone_and_several_in_brackets_once_each() {
        let (a, b) = (Error::required("a", ""), Error::forbidden("b", "why"));
        assert_eq!(join(&a.clone().into()), "a: Required value");
        assert_eq!(join(&[a.clone(), b, a].into_iter().collect()), "[a: Required value, b: Forbidden: why]");
    }

    #[test]
    fn more_faults_than_are_kept_are_mentioned() {
        let errors: Errors = (0..1000).map(|at| Error::required(at, "")).collect();
        let text = join(&errors);
        assert!(text.ends_with("99: Required value, and more, which are not shown]"), "{text}");
    }

    #[test]
    fn no_text_of_a_fault_is_longer_than_an_excerpt() {
        let long = "x".repeat(1 << 20);
        let error = Error::invalid_value(format_args!("a[{long}]"), &long, &long).under(&long);
        assert!(error.to_string().len() < 3 * (excerpt::MAX_BYTES + 32), "{}", error.to_string().len());
    }

    #[test]
    fn limits_are_told_with_what_was_found() {
        assert_eq!(Error::too_many("a", 7, 5).to_string(), "a: Too many: 7: must have at most 5 items");
        assert_eq!(Error::longer("a", 7, 5).to_string(), "a: Too long: may not be more than 5 bytes, has 7");
    }
}
