//! Patches: edits of an object that a client sends instead of the whole object.

mod json_patch;
mod list;
mod merge;
mod strategic;

use serde_json::{Map, Value};

use self::json_patch::JsonPatch;
use crate::machinery::go_text;
use crate::machinery::go_text::name_of;
use crate::machinery::group_version::GroupVersion;
use crate::machinery::json;
use crate::machinery::schema::{Misfit, Schema};
use crate::machinery::steps::{Steps, weight};
use crate::machinery::strict;
use crate::machinery::value;
use crate::meta::{GroupResource, Limited, Status, StatusDetails, excerpt, field};

/// The media types of patches.
pub const MEDIA_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// What a client sends to PATCH.
#[derive(Clone, Debug)]
pub struct Patch {
    form: Form,
    faults: Limited<String>,
    /// The length of the body.
    bytes: usize,
}

#[derive(Clone, Debug)]
enum Form {
    /// RFC 6902: a list of operations.
    Json(JsonPatch),
    /// RFC 7386: an object whose fields replace those of the same name, `null` removing them. None is the patch `null`.
    Merge(Option<Map<String, Value>>),
    /// The same, with lists merged as the schema says.
    Strategic(Map<String, Value>),
    /// The fields that a manager wants.
    Apply(Value),
}

/// Refuses a media type that is no patch.
///
/// # Errors
/// That 415.
pub fn check_media_type(content_type: &str) -> Result<(), Status> {
    if MEDIA_TYPES.contains(&media_type(content_type).as_str()) { Ok(()) } else { Err(unsupported()) }
}

fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl Patch {
    /// Reads a patch.
    ///
    /// # Errors
    /// 415 for a media type that is no patch, 400 for a body that cannot be read, 413 for too many operations.
    pub fn read(content_type: &str, body: &[u8]) -> Result<Self, Status> {
        let media = media_type(content_type);
        let decoding = |why: String| Status::bad_request(format!("error decoding patch: {why}"));
        let (form, faults) = match media.as_str() {
            "application/json-patch+json" => {
                let patch = JsonPatch::read(&value::json_value(body).map_err(decoding)?, decoding)?;
                (Form::Json(patch), json_patch::faults(body))
            }
            "application/merge-patch+json" => {
                (Form::Merge(object(body).map_err(decoding)?), strict::duplicate_fields(body))
            }
            "application/strategic-merge-patch+json" => {
                let patch = object(body).map_err(Status::bad_request)?.unwrap_or_default();
                (Form::Strategic(patch), strict::duplicate_fields(body))
            }
            "application/apply-patch+yaml" => {
                (Form::Apply(wanted(body)?), strict::yaml_duplicate(body).into_iter().collect())
            }
            _ => return Err(unsupported()),
        };
        Ok(Self { form, faults, bytes: body.len() })
    }

    /// What is wrong with the text of the patch without keeping it from being applied: fields that are there twice.
    pub fn faults(&self) -> &Limited<String> {
        &self.faults
    }

    /// What is to be [applied](crate::machinery::managed::applied), if that is what the patch is about.
    pub fn wanted(&self) -> Option<&Value> {
        match &self.form {
            Form::Apply(wanted) => Some(wanted),
            _ => None,
        }
    }

    /// Whether what the patch makes of an object is read as any document is, by its kind and version. A strategic patch only fills
    /// in the fields of an object whose kind is known.
    pub fn makes_document(&self) -> bool {
        !matches!(self.form, Form::Strategic(_))
    }

    /// Whether the patch looks at fields of the object that are named so, or changes them.
    pub fn touches(&self, fields: &[&str]) -> bool {
        let has_any = |object: &Map<String, Value>| fields.iter().any(|name| object.contains_key(*name));
        match &self.form {
            Form::Json(patch) => patch.touches(fields),
            Form::Merge(None) => false,
            Form::Merge(Some(patch)) | Form::Strategic(patch) => has_any(patch),
            Form::Apply(wanted) => wanted.as_object().is_some_and(has_any),
        }
    }

    /// The object that the patch makes of `present`, which has `kind` and `apiVersion`.
    ///
    /// A patch that is to be applied answers the object that it holds.
    ///
    /// # Errors
    /// 400 and 422, with the texts of Kubernetes; 413 for a patch that takes too many `Steps`.
    pub fn apply_to(&self, present: &Value, schema: &Schema) -> Result<Value, Status> {
        let mut object = present.clone();
        let steps = |object: &Value| Steps::of(self.bytes.saturating_add(weight(object)));
        match &self.form {
            Form::Json(patch) => patch.apply(&mut object, &mut steps(present)).map_err(json_refusal)?,
            Form::Merge(None) => return Err(Status::bad_request("Invalid JSON Patch")),
            Form::Merge(Some(patch)) => merge::merge(&mut object, patch),
            Form::Strategic(patch) => {
                strategic::merge(&schema.root, &mut object, patch, &mut steps(present)).map_err(strategic_refusal)?;
            }
            Form::Apply(wanted) => object.clone_from(wanted),
        }
        if value::is_too_deep(&object, value::DEEPEST) {
            return Err(unprocessable());
        }
        Ok(object)
    }

    /// 422: what the patch makes of an object is none.
    pub fn invalid(&self, patched: &Value, why: &str) -> Status {
        let shown = match &self.form {
            Form::Strategic(patch) => go_text::of_object(patch),
            Form::Json(patch) => json::excerpt(&patch.shown(patched)),
            Form::Merge(_) | Form::Apply(_) => json::excerpt(patched),
        };
        let nothing = GroupResource { group: "", name: "" };
        // The reason may be a list of many fields, which is bounded as a whole.
        let kind = field::ErrorKind::Invalid { value: field::quote(&shown), rule: why.into() };
        Status::invalid(nothing, "", &field::Error { field: "patch".into(), kind }.into())
    }

    /// 422, or 400 if it is to be applied: a part of what the patch makes of an object is of another type.
    pub fn misfit(&self, patched: &Value, misfit: &Misfit, api: GroupVersion) -> Status {
        let Form::Apply(wanted) = &self.form else {
            let is_strategic = matches!(&self.form, Form::Strategic(_));
            return self.invalid(patched, &if is_strategic { misfit.in_memory() } else { misfit.in_text() });
        };
        let shown = |value: &Value| excerpt::of(value.as_str().unwrap_or_default());
        let text = |key: &str| shown(&wanted["metadata"][key]);
        let kind = format!("{}, Kind={}", api.name, shown(&wanted["kind"]));
        Status::bad_request(format!(
            "failed to convert new object ({}/{}; {kind}) to proper version: unable to convert unstructured object to \
             {kind}: {}",
            text("namespace"),
            text("name"),
            misfit.in_memory()
        ))
    }

    /// The patch, or what it makes of an object, has faults and is to have none: 422, or 400 if it is to be applied.
    pub fn refused(&self, patched: &Value, faults: &Limited<String>) -> Status {
        match &self.form {
            Form::Apply(_) => {
                let told = strict::listed(faults);
                Status::bad_request(format!("error strict decoding YAML: error converting YAML to JSON: {told}"))
            }
            _ => self.invalid(patched, &strict::told(faults)),
        }
    }
}

/// The JSON object in a body; none for `null`.
fn object(body: &[u8]) -> Result<Option<Map<String, Value>>, String> {
    match value::json_value(body)? {
        Value::Null => Ok(None),
        Value::Object(fields) => Ok(Some(fields)),
        other => {
            Err(format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", name_of(&other)))
        }
    }
}

/// What a body wants to be applied.
fn wanted(body: &[u8]) -> Result<Value, Status> {
    let refuse = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    match value::yaml_value(body).map_err(|why| refuse(format!("error converting YAML to JSON: {why}")))? {
        Value::Null => Ok(Value::Object(Map::new())),
        value if value::is_too_deep(&value, value::DEEPEST) => {
            Err(refuse(format!("the object is nested deeper than {} levels", value::DEEPEST)))
        }
        value @ Value::Object(_) => Ok(value),
        other => Err(refuse(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            name_of(&other)
        ))),
    }
}

fn unsupported() -> Status {
    let text = "415: Unsupported Media Type";
    Status::failure(415, "UnsupportedMediaType", text).with_details(StatusDetails::default())
}

/// 422 without a reason that the client is told.
fn unprocessable() -> Status {
    let text = "the server rejected our request due to an error in our request";
    Status::failure(422, "Invalid", text).with_details(StatusDetails::default())
}

fn json_refusal(fault: json_patch::Fault) -> Status {
    match fault {
        json_patch::Fault::Impossible => unprocessable(),
        json_patch::Fault::Exhausted(exhausted) => exhausted.status(),
        json_patch::Fault::TooManyCopies => json_patch::too_many_copies(),
    }
}

fn strategic_refusal(fault: strategic::Fault) -> Status {
    match fault {
        strategic::Fault::Exhausted(exhausted) => exhausted.status(),
        strategic::Fault::Content => unprocessable(),
        strategic::Fault::Format(why) => Status::bad_request(why),
    }
}

#[cfg(test)]
mod tests;
