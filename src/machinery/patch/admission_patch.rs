//! JSON patches of admission webhooks.

use serde_json::Value;

use super::json_patch::{JsonPatch, JsonPatchError};
use crate::machinery::body_limits::{self, MAX_VALUES};
use crate::machinery::go_json::RepeatedKeys;
use crate::machinery::step_budget::{StepBudget, json_size};
use crate::machinery::value;
use crate::meta::Status;

/// A JSON patch that an admission webhook returned.
#[derive(Clone, Debug)]
pub struct AdmissionPatch {
    patch: JsonPatch,
    bytes: usize,
}

/// The maximum size of a patched object, in bytes.
const MAX_OBJECT_BYTES: usize = 16 << 20;

impl AdmissionPatch {
    /// Parses a patch.
    ///
    /// # Errors
    /// A sentence about a syntax error, or too many values or operations.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        if body_limits::count_values(body) > MAX_VALUES {
            return Err(format!("it holds more than {MAX_VALUES} values"));
        }
        let value = value::parse_json(body, RepeatedKeys::Merged)?;
        let patch =
            JsonPatch::read(&value, Status::bad_request).map_err(|status| status.message)?;
        Ok(Self { patch, bytes: body.len() })
    }

    /// Returns true if the patch has no operations.
    pub fn is_empty(&self) -> bool {
        self.patch.is_empty()
    }

    /// Returns a patched copy of an object.
    ///
    /// # Errors
    /// A sentence about an operation that fails, or a limit that the patch exceeds.
    pub fn apply_to(&self, object: &Value) -> Result<Value, String> {
        let mut patched = object.clone();
        let mut budget = StepBudget::for_size(self.bytes.saturating_add(json_size(object)));
        self.patch.apply(&mut patched, &mut budget).map_err(|error| match error {
            JsonPatchError::Failed => {
                "the JSON patch of the webhook cannot be applied to the object"
            }
            JsonPatchError::Exhausted(_) => "the JSON patch of the webhook takes too many steps",
            JsonPatchError::TooManyCopies => "the JSON patch of the webhook makes too many copies",
        })?;
        if body_limits::exceeds_depth(&patched, body_limits::MAX_DEPTH) {
            return Err("the JSON patch of the webhook nests values too deeply".into());
        }
        match json_size(&patched) > MAX_OBJECT_BYTES {
            true => Err(format!("the patched object is larger than {MAX_OBJECT_BYTES} bytes")),
            false => Ok(patched),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(patch: &Value) -> Result<Value, String> {
        let object = json!({"metadata": {"name": "x"}});
        AdmissionPatch::read(patch.to_string().as_bytes())?.apply_to(&object)
    }

    #[test]
    fn operations_apply_in_order_or_fail_as_a_whole() {
        let add = json!({"op": "add", "path": "/metadata/labels", "value": {}});
        let label = json!({"op": "add", "path": "/metadata/labels/a", "value": "b"});
        let labels = json!({"metadata": {"name": "x", "labels": {"a": "b"}}});
        assert_eq!(patched(&json!([add, label])), Ok(labels));
        assert!(patched(&json!([label])).unwrap_err().contains("cannot be applied"));
        assert!(patched(&json!({})).unwrap_err().contains("cannot unmarshal object"));
        assert!(AdmissionPatch::read(b"[]").unwrap().is_empty());
        assert!(AdmissionPatch::read(b"[").is_err());
        let values = format!("[{}]", "{},".repeat(MAX_VALUES));
        assert!(AdmissionPatch::read(values.as_bytes()).unwrap_err().contains("values"));
    }
}
