//! Validation errors of single fields, with the texts of
//! k8s.io/apimachinery/pkg/util/validation/field/errors.go.

use std::collections::HashSet;
use std::fmt;

pub use super::excerpt::{is_printable, quoted as quote};

use super::limited::{Limited, TextSize};
use super::{StatusCause, excerpt, limited};

/// Kind of a field error, with the details for its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A required field is missing. Holds a detail, which may be empty.
    Required(String),
    /// The value violates a rule.
    Invalid {
        /// Value as shown in the text; strings are quoted.
        value: String,
        /// Rule.
        rule: String,
    },
    /// The field, or its value, is not permitted. Holds the reason.
    Forbidden(String),
    /// The value is not one of a closed set.
    Unsupported {
        /// Value as shown in the text.
        value: String,
        /// Supported values.
        supported: Vec<&'static str>,
    },
    /// The value is longer than `most` bytes. `actual` is the length, if the text shows it.
    TooLong {
        /// Limit in bytes.
        most: usize,
        /// Length in bytes.
        actual: Option<usize>,
    },
    /// The list has more than `most` items.
    TooMany {
        /// Limit.
        most: usize,
        /// Number of items.
        actual: usize,
    },
    /// The value refers to an object that does not exist. Holds the value as shown in the text.
    NotFound(String),
    /// An error of the object as a whole.
    Internal(String),
}

/// Error of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Path of the field, such as `spec.tags[latest].from`.
    pub field: String,
    /// Kind of the error.
    pub kind: ErrorKind,
}

/// Constructors. They take an [excerpt] of every text, and format arguments only when called.
impl Error {
    /// Returns an error for a missing field. `remark` may be empty.
    pub fn required(field: impl fmt::Display, remark: impl fmt::Display) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::Required(excerpt::of(remark)) }
    }

    /// Returns an error for the text `value`, which violates `rule`.
    pub fn invalid(field: impl fmt::Display, value: &str, rule: impl fmt::Display) -> Self {
        Self {
            field: excerpt::of(field),
            kind: ErrorKind::Invalid { value: quote(value), rule: excerpt::of(rule) },
        }
    }

    /// Returns an error for `value`, shown without quotes, which violates `rule`.
    pub fn invalid_value(
        field: impl fmt::Display,
        value: impl fmt::Display,
        rule: impl fmt::Display,
    ) -> Self {
        let kind = ErrorKind::Invalid { value: excerpt::of(value), rule: excerpt::of(rule) };
        Self { field: excerpt::of(field), kind }
    }

    /// Returns an error for a field, or a value, that is not permitted.
    pub fn forbidden(field: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::Forbidden(excerpt::of(reason)) }
    }

    /// Returns an error for the text `value`, which is not one of `supported`.
    pub fn unsupported(field: impl fmt::Display, value: &str, supported: &[&'static str]) -> Self {
        let kind = ErrorKind::Unsupported { value: quote(value), supported: supported.to_vec() };
        Self { field: excerpt::of(field), kind }
    }

    /// Returns an error for the text `value`, which refers to an object that does not exist.
    pub fn not_found(field: impl fmt::Display, value: &str) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::NotFound(quote(value)) }
    }

    /// Returns an error for a value of more than `most` bytes. The text, as in Kubernetes, does not
    /// show the length.
    pub fn too_long(field: impl fmt::Display, most: usize) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::TooLong { most, actual: None } }
    }

    /// Returns an error for a value of `actual` bytes where `most` are permitted. The text shows
    /// both.
    pub fn longer(field: impl fmt::Display, actual: usize, most: usize) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::TooLong { most, actual: Some(actual) } }
    }

    /// Returns an error for a list of `actual` items where `most` are permitted.
    pub fn too_many(field: impl fmt::Display, actual: usize, most: usize) -> Self {
        Self { field: excerpt::of(field), kind: ErrorKind::TooMany { most, actual } }
    }

    /// Returns the error with `prefix` before the path of its field.
    pub fn under(mut self, prefix: impl fmt::Display) -> Self {
        self.field = excerpt::of(format_args!("{prefix}.{}", self.field));
        self
    }

    /// Returns the error as a cause of a `Status`.
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
        StatusCause {
            reason: reason.into(),
            message: self.kind.to_string(),
            field: self.field.clone(),
        }
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
            Self::Forbidden(reason) => write!(f, "Forbidden: {reason}"),
            Self::Unsupported { value, supported } => {
                let supported: Vec<_> = supported.iter().map(|each| quote(each)).collect();
                write!(f, "Unsupported value: {value}: supported values: {}", supported.join(", "))
            }
            Self::NotFound(value) => write!(f, "Not found: {value}"),
            Self::Internal(text) => write!(f, "Internal error: {text}"),
            Self::TooLong { most, actual: None } => {
                write!(f, "Too long: may not be more than {most} bytes")
            }
            Self::TooLong { most, actual: Some(actual) } => {
                write!(f, "Too long: may not be more than {most} bytes, has {actual}")
            }
            // As TooMany in k8s.io/apimachinery/pkg/util/validation/field/errors.go.
            Self::TooMany { most, actual } => {
                write!(f, "Too many: {actual}: must have at most {most} items")
            }
        }
    }
}

/// Maximum number of errors per object.
pub const MAX_ERRORS: usize = limited::MAX_ITEMS;

/// Errors of one object, bounded so that neither validation nor the response grows with the input.
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

/// Joins errors into one text without duplicates; several are enclosed in brackets, as by
/// `ErrorList.ToAggregate` in Go.
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
    fn several_errors_are_joined_in_brackets_without_duplicates() {
        let (a, b) = (Error::required("a", ""), Error::forbidden("b", "why"));
        assert_eq!(join(&a.clone().into()), "a: Required value");
        assert_eq!(
            join(&[a.clone(), b, a].into_iter().collect()),
            "[a: Required value, b: Forbidden: why]"
        );
    }

    #[test]
    fn truncation_is_mentioned() {
        let errors: Errors = (0..1000).map(|at| Error::required(at, "")).collect();
        let text = join(&errors);
        assert!(text.ends_with("99: Required value, and more, which are not shown]"), "{text}");
    }

    #[test]
    fn texts_are_truncated_to_excerpts() {
        let long = "x".repeat(1 << 20);
        let error = Error::invalid_value(format_args!("a[{long}]"), &long, &long).under(&long);
        assert!(
            error.to_string().len() < 3 * (excerpt::MAX_BYTES + 32),
            "{}",
            error.to_string().len()
        );
    }

    #[test]
    fn limit_errors_show_limit_and_actual() {
        assert_eq!(
            Error::too_many("a", 7, 5).to_string(),
            "a: Too many: 7: must have at most 5 items"
        );
        assert_eq!(
            Error::longer("a", 7, 5).to_string(),
            "a: Too long: may not be more than 5 bytes, has 7"
        );
    }
}
