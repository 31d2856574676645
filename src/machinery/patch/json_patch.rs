//! JSON Patch (RFC 6902) with the semantics of Kubernetes, which uses `evanphx/json-patch`. A patch
//! succeeds or fails as a whole.
//!
//! Differences from the RFC: `replace` may create a field, negative indices count from the end, and
//! only `replace` and `test` accept the path of the whole document.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use self::JsonPatchError::Failed;
use crate::machinery::body_limits;
use crate::machinery::field_validation;
use crate::machinery::go_fmt::json_type_name;
use crate::machinery::schema::{
    ListType, MapType, PatchStrategy, Scalar, Shape, StructField, StructType,
};
use crate::machinery::step_budget::{BudgetExhausted, StepBudget};
use crate::meta::{Limited, Status};

/// Maximum number of operations (`maxJSONPatchOperations` in
/// `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`).
const MAX_OPERATIONS: usize = 10_000;
/// Maximum size of all values that the `copy` operations of a patch create, in bytes.
const MAX_COPIED_BYTES: usize = 3 << 20;
/// Maximum number of values that the `copy` operations of a patch create.
///
/// A copied `{}` has two bytes of JSON but takes some 150 in memory, so a limit in bytes bounds
/// neither memory nor work. Within this limit the copies take about 3 MiB, as much as the largest
/// body, so a patch with a short body does not count as a large request.
const MAX_COPIED_VALUES: usize = 20_000;
/// Steps for each copied or moved value, for its allocation and visit, in addition to the steps for
/// its bytes.
const STEPS_PER_VALUE: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct JsonPatch(Vec<PatchOperation>);

/// An operation. Missing fields are errors when the operation runs, not when it is parsed.
#[derive(Clone, Debug, Default)]
struct PatchOperation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Option<Value>,
}

/// Error of applying a patch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonPatchError {
    /// An operation failed. Kubernetes does not report details.
    Failed,
    /// The operations take too many steps.
    Exhausted(BudgetExhausted),
    /// The `copy` operations create more than [`MAX_COPIED_VALUES`] values.
    TooManyCopies,
}

impl From<BudgetExhausted> for JsonPatchError {
    fn from(exhausted: BudgetExhausted) -> Self {
        Self::Exhausted(exhausted)
    }
}

/// 413 for a patch with too many copied values.
pub(super) fn too_many_copies() -> Status {
    let text = format!(
        "the copy operations of the patch make more than {MAX_COPIED_VALUES} values, which is more than the server \
         allows: split the patch up, or send the values themselves"
    );
    Status::failure(413, "RequestEntityTooLarge", text)
}

impl JsonPatch {
    /// Parses a patch.
    ///
    /// # Errors
    /// 413 for too many operations; the result of `refuse` with a sentence for a value that is not
    /// a patch.
    pub(super) fn read(value: &Value, refuse: impl Fn(String) -> Status) -> Result<Self, Status> {
        let mismatch = |value: &Value, expected: &str| {
            refuse(format!("json: cannot unmarshal {} into Go {expected}", json_type_name(value)))
        };
        let operations = match value {
            Value::Null => &[][..],
            Value::Array(operations) => operations,
            other => return Err(mismatch(other, "value of type []handlers.jsonPatchOp")),
        };
        if operations.len() > MAX_OPERATIONS {
            let count = operations.len();
            let text = format!(
                "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
            );
            return Err(Status::failure(413, "RequestEntityTooLarge", text));
        }
        let text = |fields: &Map<String, Value>, key: &str| match fields.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => {
                Err(mismatch(other, &format!("struct field jsonPatchOp.{key} of type string")))
            }
        };
        let operation = |value: &Value| match value {
            Value::Null => Ok(PatchOperation::default()),
            Value::Object(fields) => Ok(PatchOperation {
                op: text(fields, "op")?.unwrap_or_default(),
                path: text(fields, "path")?,
                from: text(fields, "from")?,
                value: fields.get("value").cloned(),
            }),
            other => Err(mismatch(other, "value of type handlers.jsonPatchOp")),
        };
        operations.iter().map(operation).collect::<Result<_, _>>().map(Self)
    }

    /// Returns true if there are no operations.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if an operation has a path below one of these top-level fields, or the path of
    /// the whole document.
    pub(super) fn touches(&self, fields: &[&str]) -> bool {
        let is_among = |pointer: &String| {
            let first = pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
            first.is_empty() || fields.contains(&first)
        };
        self.0
            .iter()
            .any(|operation| [&operation.path, &operation.from].into_iter().flatten().any(is_among))
    }

    /// Applies all operations to a document.
    ///
    /// # Errors
    /// An operation failed, or they take more steps than the budget has. The document is then
    /// partly changed.
    pub(super) fn apply(
        &self,
        document: &mut Value,
        budget: &mut StepBudget,
    ) -> Result<(), JsonPatchError> {
        let mut target = PatchTarget { document, budget, copied: Size::default() };
        self.0.iter().try_for_each(|operation| target.apply(operation))
    }

    /// A patched document as error messages of Kubernetes show it. The keys of all objects above
    /// the paths of operations are sorted, because evanphx/json-patch decodes these objects into Go
    /// maps.
    ///
    /// `from` only counts for operations that read it. Each object is sorted once.
    pub(super) fn with_sorted_keys(&self, document: &Value) -> Value {
        let mut parents = ParentPaths::default();
        for operation in &self.0 {
            let from = operation.from.as_deref().filter(|_| operation.reads_from());
            for pointer in operation.path.as_deref().into_iter().chain(from) {
                // Operations with a deeper path fail.
                if let Ok((steps, _)) = parse_pointer(pointer) {
                    parents.insert(steps);
                }
            }
        }
        let mut document = document.clone();
        parents.sort_keys(&mut document);
        document
    }
}

/// The parents of some paths, as a tree of their path components.
#[derive(Default)]
struct ParentPaths(BTreeMap<String, ParentPaths>);

impl ParentPaths {
    fn insert(&mut self, steps: Vec<String>) {
        let mut node = self;
        for step in steps {
            node = node.0.entry(step).or_default();
        }
    }

    fn sort_keys(&self, value: &mut Value) {
        if let Value::Object(fields) = value {
            fields.sort_keys();
        }
        for (step, below) in &self.0 {
            let value = match &mut *value {
                Value::Object(fields) => fields.get_mut(step),
                Value::Array(items) => {
                    index(step, items.len()).ok().and_then(|at| items.get_mut(at))
                }
                _ => None,
            };
            if let Some(value) = value {
                below.sort_keys(value);
            }
        }
    }
}

/// Unknown and duplicate fields of the operations.
pub(super) fn strict_errors(body: &[u8]) -> Limited<String> {
    let field = |shape| StructField { shape, patch: PatchStrategy::Plain, is_optional: false };
    let text = || field(Shape::Scalar(Scalar::String));
    let any = field(Shape::Untyped);
    let fields = ["op", "path", "from"].into_iter().map(|name| (name.to_owned(), text()));
    let operation = Shape::Struct(
        MapType::Granular,
        StructType {
            type_name: String::new(),
            by_name: fields.chain([("value".to_owned(), any)]).collect(),
        },
    );
    let patch = Shape::List(ListType::Atomic, Box::new(operation));
    field_validation::json_strict_errors(body, &patch).map(|error| format!("json patch {error}"))
}

impl PatchOperation {
    /// Returns true if the operation reads the value at `from`.
    fn reads_from(&self) -> bool {
        matches!(self.op.as_str(), "move" | "copy")
    }

    fn path(&self) -> Result<&str, JsonPatchError> {
        self.path.as_deref().ok_or(Failed)
    }

    fn from(&self) -> Result<&str, JsonPatchError> {
        self.from.as_deref().ok_or(Failed)
    }
}

/// A document and the remaining budget of the operations on it.
struct PatchTarget<'a> {
    document: &'a mut Value,
    budget: &'a mut StepBudget,
    /// Total size of the copied values.
    copied: Size,
}

impl PatchTarget<'_> {
    fn apply(&mut self, operation: &PatchOperation) -> Result<(), JsonPatchError> {
        let value = || operation.value.clone().unwrap_or(Value::Null);
        match operation.op.as_str() {
            "add" => self.add(operation.path()?, value()),
            "remove" => self.remove(operation.path()?).map(drop),
            "replace" => self.replace(operation.path()?, value()),
            "move" => {
                let value = self.remove(operation.from()?)?;
                // Unchecked moves could nest the document deeper each time, until it overflows the
                // stack.
                self.budget.take(size(&value)?.steps())?;
                self.add(operation.path()?, value)
            }
            "copy" => {
                // `copy` of a missing field creates `null`.
                let from = operation
                    .from()
                    .and_then(|from| if from.is_empty() { Err(Failed) } else { Ok(from) })?;
                let value = find(self.document, from)?.unwrap_or(&Value::Null);
                let size = size(value)?;
                self.copied.bytes += size.bytes;
                self.copied.values += size.values;
                if self.copied.bytes > MAX_COPIED_BYTES {
                    return Err(Failed);
                }
                if self.copied.values > MAX_COPIED_VALUES {
                    return Err(JsonPatchError::TooManyCopies);
                }
                self.budget.take(size.steps())?;
                let value = value.clone();
                self.add(operation.path()?, value)
            }
            "test" => {
                let nothing = Value::Null;
                let (found, expected) =
                    (find(self.document, operation.path()?)?, operation.value.as_ref());
                let is_same = found.unwrap_or(&nothing) == expected.unwrap_or(&nothing);
                if is_same { Ok(()) } else { Err(Failed) }
            }
            _ => Err(Failed),
        }
    }

    fn add(&mut self, path: &str, value: Value) -> Result<(), JsonPatchError> {
        match parent(self.document, path)? {
            (Value::Object(fields), name) => _ = fields.insert(name, value),
            (Value::Array(items), step) if step == "-" => items.push(value),
            (Value::Array(items), step) => {
                let at = index(&step, items.len() + 1)?;
                self.budget.take(items.len().checked_sub(at).ok_or(Failed)?)?;
                items.insert(at, value);
            }
            _ => return Err(Failed),
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<Value, JsonPatchError> {
        match parent(self.document, path)? {
            (Value::Object(fields), name) => fields.swap_remove(&name).ok_or(Failed),
            (Value::Array(items), step) => {
                let at = index(&step, items.len())?;
                let after = items.len().checked_sub(at).filter(|after| *after > 0).ok_or(Failed)?;
                self.budget.take(after)?;
                Ok(items.remove(at))
            }
            _ => Err(Failed),
        }
    }

    fn replace(&mut self, path: &str, value: Value) -> Result<(), JsonPatchError> {
        if path.is_empty() {
            let whole = Some(value).filter(|value| value.is_object() || value.is_array());
            *self.document = whole.ok_or(Failed)?;
            return Ok(());
        }
        match parent(self.document, path)? {
            (Value::Object(fields), name) => _ = fields.insert(name, value),
            (Value::Array(items), step) => {
                let at = index(&step, items.len())?;
                *items.get_mut(at).ok_or(Failed)? = value;
            }
            _ => return Err(Failed),
        }
        Ok(())
    }
}

/// Splits a JSON pointer into its decoded components, the last one apart. Ignores text before the
/// first slash.
fn parse_pointer(pointer: &str) -> Result<(Vec<String>, String), JsonPatchError> {
    // Count before decoding: an empty component takes one byte of the body but many in memory.
    if pointer.split('/').skip(1).nth(body_limits::MAX_DEPTH).is_some() {
        return Err(Failed);
    }
    let decoded = |step: &str| step.replace("~1", "/").replace("~0", "~");
    let mut steps: Vec<_> = pointer.split('/').skip(1).map(decoded).collect();
    let last = steps.pop().ok_or(Failed)?;
    Ok((steps, last))
}

/// Parses a list index. Negative indices count back from `length`.
fn index(step: &str, length: usize) -> Result<usize, JsonPatchError> {
    let digits = step.strip_prefix(['+', '-']).unwrap_or(step);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failed);
    }
    let distance: usize = digits.parse().map_err(|_| Failed)?;
    if step.starts_with('-') && distance > 0 {
        length.checked_sub(distance).ok_or(Failed)
    } else {
        Ok(distance)
    }
}

/// The value at a path; none if an object lacks the last component.
fn find<'a>(document: &'a Value, path: &str) -> Result<Option<&'a Value>, JsonPatchError> {
    if path.is_empty() {
        return Ok(Some(document));
    }
    let (steps, last) = parse_pointer(path)?;
    let parent =
        steps.iter().try_fold(document, |value, step| child(value, step)?.ok_or(Failed))?;
    child(parent, &last)
}

fn child<'a>(value: &'a Value, step: &str) -> Result<Option<&'a Value>, JsonPatchError> {
    match value {
        Value::Object(fields) => Ok(fields.get(step)),
        Value::Array(items) => items.get(index(step, items.len())?).map(Some).ok_or(Failed),
        _ => Err(Failed),
    }
}

/// The parent object or list of a path, and the last component.
fn parent<'a>(
    document: &'a mut Value,
    path: &str,
) -> Result<(&'a mut Value, String), JsonPatchError> {
    let (steps, last) = parse_pointer(path)?;
    let descend = |value: &'a mut Value, step: &String| match value {
        Value::Object(fields) => fields.get_mut(step).ok_or(Failed),
        Value::Array(items) => {
            let at = index(step, items.len())?;
            items.get_mut(at).ok_or(Failed)
        }
        _ => Err(Failed),
    };
    Ok((steps.iter().try_fold(document, descend)?, last))
}

/// The size of a value and everything inside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    /// Number of objects, lists and scalars.
    values: usize,
    /// Approximate length as compact JSON.
    bytes: usize,
}

impl Size {
    /// Steps for copying or visiting the value.
    fn steps(self) -> usize {
        self.bytes.saturating_add(self.values.saturating_mul(STEPS_PER_VALUE))
    }

    /// Adds a value and its parts; none if it is nested deeper than `left` levels.
    fn add(&mut self, value: &Value, left: usize) -> Option<()> {
        let left = left.checked_sub(1)?;
        self.values += 1;
        self.bytes += match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 4,
            Value::String(text) => text.len() + 2,
            Value::Array(items) => {
                items.iter().try_for_each(|item| self.add(item, left))?;
                items.len() + 2
            }
            Value::Object(fields) => {
                fields.values().try_for_each(|value| self.add(value, left))?;
                fields.keys().map(|name| name.len() + 4).sum::<usize>() + 2
            }
        };
        Some(())
    }
}

/// The size of a value; an error if it is nested deeper than [`body_limits::MAX_DEPTH`].
fn size(value: &Value) -> Result<Size, JsonPatchError> {
    let mut size = Size::default();
    size.add(value, body_limits::MAX_DEPTH).ok_or(Failed)?;
    Ok(size)
}
