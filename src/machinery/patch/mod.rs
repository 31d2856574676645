//! Patches: JSON Patch, JSON Merge Patch, strategic merge patch and apply configurations.

mod admission_patch;
mod directives;
mod json_patch;
mod list;
mod merge_patch;
mod strategic_merge;

use serde_json::{Map, Value};

pub use self::admission_patch::AdmissionPatch;
use self::directives::StrategicMergeError;
use self::json_patch::{JsonPatch, JsonPatchError};
use crate::machinery::body_limits;
use crate::machinery::field_validation;
use crate::machinery::go_fmt::{self, json_type_name};
use crate::machinery::go_json::RepeatedKeys;
use crate::machinery::go_yaml::{self, YamlDocument};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::json;
use crate::machinery::media_type;
use crate::machinery::schema::{self, Schema, Shape, TypeMismatch};
use crate::machinery::step_budget::{StepBudget, json_size};
use crate::machinery::value;
use crate::meta::{GroupResource, Limited, Status, StatusDetails, excerpt, field};

/// The media types of patches.
pub const MEDIA_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// The body of a PATCH request.
#[derive(Clone, Debug)]
pub struct Patch {
    content: PatchContent,
    strict_errors: Limited<String>,
    /// Length of the body.
    bytes: usize,
}

#[derive(Clone, Debug)]
enum PatchContent {
    /// JSON Patch (RFC 6902).
    Json(JsonPatch),
    /// JSON Merge Patch (RFC 7386). None is the patch `null`.
    Merge(Option<Map<String, Value>>),
    /// Strategic merge patch.
    Strategic(Map<String, Value>),
    /// Configuration for server-side apply.
    Apply(Value),
}

/// Checks that a media type is that of a patch.
///
/// # Errors
/// 415 for other media types.
pub fn check_media_type(content_type: &str) -> Result<(), Status> {
    if MEDIA_TYPES.contains(&media_type::essence(content_type).to_ascii_lowercase().as_str()) {
        Ok(())
    } else {
        Err(unsupported())
    }
}

impl Patch {
    /// Parses a patch.
    ///
    /// # Errors
    /// 415 for the media type of another format, 400 for a syntax error, 413 for too many
    /// operations.
    pub fn read(content_type: &str, body: &[u8]) -> Result<Self, Status> {
        let media = media_type::essence(content_type).to_ascii_lowercase();
        let decoding =
            |reason: String| Status::bad_request(format!("error decoding patch: {reason}"));
        let (content, strict_errors) = match media.as_str() {
            "application/json-patch+json" => {
                let patch = JsonPatch::read(
                    &value::parse_json(body, RepeatedKeys::Merged).map_err(decoding)?,
                    decoding,
                )?;
                (PatchContent::Json(patch), json_patch::strict_errors(body))
            }
            "application/merge-patch+json" => (
                PatchContent::Merge(parse_object(body).map_err(decoding)?),
                field_validation::duplicate_fields(body),
            ),
            "application/strategic-merge-patch+json" => {
                let patch = parse_object(body).map_err(Status::bad_request)?.unwrap_or_default();
                (PatchContent::Strategic(patch), field_validation::duplicate_fields(body))
            }
            "application/apply-patch+yaml" => {
                let document = parse_apply_configuration(body)?;
                let duplicates = field_validation::yaml_duplicate_keys(&document);
                (PatchContent::Apply(document.value), duplicates.into_iter().collect())
            }
            _ => return Err(unsupported()),
        };
        Ok(Self { content, strict_errors, bytes: body.len() })
    }

    /// Duplicate and unknown fields in the body of the patch, for field validation.
    pub fn strict_errors(&self) -> &Limited<String> {
        &self.strict_errors
    }

    /// The configuration of a server-side apply; none for other patches.
    pub fn apply_configuration(&self) -> Option<&Value> {
        match &self.content {
            PatchContent::Apply(configuration) => Some(configuration),
            _ => None,
        }
    }

    /// Returns true if the patched object is decoded by its `kind` and `apiVersion`. False for
    /// strategic merge patches, which Kubernetes merges into a typed object.
    pub fn decodes_result(&self) -> bool {
        !matches!(self.content, PatchContent::Strategic(_))
    }

    /// Returns true if the patch reads or changes one of these top-level fields.
    pub fn touches(&self, fields: &[&str]) -> bool {
        let has_any =
            |object: &Map<String, Value>| fields.iter().any(|name| object.contains_key(*name));
        match &self.content {
            PatchContent::Json(patch) => patch.touches(fields),
            PatchContent::Merge(None) => false,
            PatchContent::Merge(Some(patch)) | PatchContent::Strategic(patch) => has_any(patch),
            PatchContent::Apply(configuration) => configuration.as_object().is_some_and(has_any),
        }
    }

    /// Applies the patch to `current`, which has `kind` and `apiVersion`. For server-side apply,
    /// returns the configuration itself.
    ///
    /// # Errors
    /// 400 or 422 with the texts of Kubernetes; 413 for a patch that takes too many steps.
    pub fn apply_to(&self, current: &Value, schema: &Schema) -> Result<Value, Status> {
        let mut object = current.clone();
        let budget =
            |object: &Value| StepBudget::for_size(self.bytes.saturating_add(json_size(object)));
        match &self.content {
            PatchContent::Json(patch) => {
                patch.apply(&mut object, &mut budget(current)).map_err(json_patch_error)?
            }
            PatchContent::Merge(None) => return Err(Status::bad_request("Invalid JSON Patch")),
            PatchContent::Merge(Some(patch)) => merge_patch::merge(&mut object, patch),
            PatchContent::Strategic(patch) => {
                strategic_merge::merge(&schema.root, &mut object, patch, &mut budget(current))
                    .map_err(strategic_merge_error)?;
            }
            PatchContent::Apply(configuration) => object.clone_from(configuration),
        }
        if body_limits::exceeds_depth(&object, body_limits::MAX_DEPTH) {
            return Err(unprocessable());
        }
        Ok(object)
    }

    /// Converts a patched object to the form that its type reads.
    ///
    /// Kubernetes decodes the result of strategic merge patches and of server-side apply from
    /// values, which may hold a whole number as `1.0`, and all others from JSON.
    ///
    /// # Errors
    /// The first part with another type than its shape.
    pub fn coerce(&self, patched: &mut Value, shape: &Shape) -> Result<(), TypeMismatch> {
        match &self.content {
            PatchContent::Json(_) | PatchContent::Merge(_) => schema::coerce(patched, shape),
            PatchContent::Strategic(_) | PatchContent::Apply(_) => {
                schema::coerce_unstructured(patched, shape)
            }
        }
    }

    /// 422 for a patched object that is invalid.
    pub fn invalid(&self, patched: &Value, reason: &str) -> Status {
        let bad_value = match &self.content {
            PatchContent::Strategic(patch) => go_fmt::map(patch),
            PatchContent::Json(patch) => json::excerpt(&patch.with_sorted_keys(patched)),
            PatchContent::Merge(_) | PatchContent::Apply(_) => json::excerpt(patched),
        };
        let no_resource = GroupResource { group: "", name: "" };
        // `reason` may list many fields. It has a limit of its own.
        let kind =
            field::ErrorKind::Invalid { value: field::quote(&bad_value), rule: reason.into() };
        Status::invalid(no_resource, "", &field::Error { field: "patch".into(), kind }.into())
    }

    /// Error for a patched object with a value of a wrong type: 422, or 400 for server-side apply.
    pub fn type_mismatch(
        &self,
        patched: &Value,
        mismatch: &TypeMismatch,
        api: GroupVersion,
    ) -> Status {
        let PatchContent::Apply(configuration) = &self.content else {
            let is_strategic = matches!(&self.content, PatchContent::Strategic(_));
            return self.invalid(
                patched,
                &if is_strategic { mismatch.conversion_error() } else { mismatch.json_error() },
            );
        };
        let string = |value: &Value| excerpt::of(value.as_str().unwrap_or_default());
        let text = |key: &str| string(&configuration["metadata"][key]);
        let kind = format!("{}, Kind={}", api.name, string(&configuration["kind"]));
        Status::bad_request(format!(
            "failed to convert new object ({}/{}; {kind}) to proper version: unable to convert unstructured object to \
             {kind}: {}",
            text("namespace"),
            text("name"),
            mismatch.conversion_error()
        ))
    }

    /// Error for unknown and duplicate fields under strict field validation: 422, or 400 for
    /// server-side apply.
    pub fn strict_error(&self, patched: &Value, errors: &Limited<String>) -> Status {
        match &self.content {
            PatchContent::Apply(_) => {
                let joined_errors = field_validation::joined(errors);
                Status::bad_request(format!(
                    "error strict decoding YAML: error converting YAML to JSON: {joined_errors}"
                ))
            }
            _ => self.invalid(patched, &field_validation::error_message(errors)),
        }
    }
}

/// Parses a JSON object; none for `null`.
fn parse_object(body: &[u8]) -> Result<Option<Map<String, Value>>, String> {
    match value::parse_json(body, RepeatedKeys::Last)? {
        Value::Null => Ok(None),
        Value::Object(fields) => Ok(Some(fields)),
        other => Err(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            json_type_name(&other)
        )),
    }
}

/// Parses the configuration of a server-side apply.
fn parse_apply_configuration(body: &[u8]) -> Result<YamlDocument, Status> {
    let refuse = |reason: String| Status::bad_request(format!("error decoding YAML: {reason}"));
    let mut document = go_yaml::read(body)
        .map_err(|reason| refuse(format!("error converting YAML to JSON: {reason}")))?;
    match &document.value {
        Value::Null => document.value = Value::Object(Map::new()),
        value if body_limits::exceeds_depth(value, body_limits::MAX_DEPTH) => {
            let max = body_limits::MAX_DEPTH;
            return Err(refuse(format!("the object is nested deeper than {max} levels")));
        }
        Value::Object(_) => {}
        other => {
            let found = json_type_name(other);
            return Err(refuse(format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )));
        }
    }
    Ok(document)
}

fn unsupported() -> Status {
    let text = "415: Unsupported Media Type";
    Status::failure(415, "UnsupportedMediaType", text).with_details(StatusDetails::default())
}

/// 422 without details.
fn unprocessable() -> Status {
    let text = "the server rejected our request due to an error in our request";
    Status::failure(422, "Invalid", text).with_details(StatusDetails::default())
}

fn json_patch_error(error: JsonPatchError) -> Status {
    match error {
        JsonPatchError::Failed => unprocessable(),
        JsonPatchError::Exhausted(exhausted) => exhausted.status(),
        JsonPatchError::TooManyCopies => json_patch::too_many_copies(),
    }
}

fn strategic_merge_error(error: StrategicMergeError) -> Status {
    match error {
        StrategicMergeError::Exhausted(exhausted) => exhausted.status(),
        StrategicMergeError::Unsupported => unprocessable(),
        StrategicMergeError::Format(reason) => Status::bad_request(reason),
    }
}

#[cfg(test)]
mod tests;
