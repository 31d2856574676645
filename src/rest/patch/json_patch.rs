//! RFC 6902 as Kubernetes reads it: operations by path, one after another, all or nothing.
//!
//! Where the RFC and Kubernetes differ, Kubernetes is followed: `replace` may make a field, negative indices count from
//! the end, and only `replace` and `test` may name the whole document.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::meta::{Limited, Status};
use crate::rest::codec;
use crate::rest::go_text::name_of;
use crate::rest::schema::{Field, Fields, ListType, Parts, PatchStrategy, Scalar, Shape};
use crate::rest::strict;

/// The most operations of a patch.
const MOST_OPERATIONS: usize = 10_000;
/// The most bytes that the `copy` operations of a patch may make, together.
const MOST_COPIED_BYTES: usize = 3 << 20;

/// A list of operations.
#[derive(Clone, Debug)]
pub(super) struct JsonPatch(Vec<Operation>);

/// One operation. What it lacks it is only asked for when it is its turn.
#[derive(Clone, Debug, Default)]
struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Option<Value>,
}

/// An operation that cannot be done. Clients are told no more than that.
#[derive(Debug)]
pub(super) struct Impossible;

impl JsonPatch {
    /// The patch in a value.
    ///
    /// # Errors
    /// 413 for too many operations; for what is no patch what `refuse` makes of a sentence about it.
    pub(super) fn read(value: &Value, refuse: impl Fn(String) -> Status) -> Result<Self, Status> {
        let no =
            |value: &Value, wanted: &str| refuse(format!("json: cannot unmarshal {} into Go {wanted}", name_of(value)));
        let operations = match value {
            Value::Null => &[][..],
            Value::Array(operations) => operations,
            other => return Err(no(other, "value of type []handlers.jsonPatchOp")),
        };
        if operations.len() > MOST_OPERATIONS {
            let count = operations.len();
            let text = format!("The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {count}");
            return Err(Status::failure(413, "RequestEntityTooLarge", text));
        }
        let text = |fields: &Map<String, Value>, key: &str| match fields.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(no(other, &format!("struct field jsonPatchOp.{key} of type string"))),
        };
        let operation = |value: &Value| match value {
            Value::Null => Ok(Operation::default()),
            Value::Object(fields) => Ok(Operation {
                op: text(fields, "op")?.unwrap_or_default(),
                path: text(fields, "path")?,
                from: text(fields, "from")?,
                value: fields.get("value").cloned(),
            }),
            other => Err(no(other, "value of type handlers.jsonPatchOp")),
        };
        operations.iter().map(operation).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an operation is about fields of the document that are named so, or about the whole document.
    pub(super) fn touches(&self, fields: &[&str]) -> bool {
        let is_among = |pointer: &String| {
            let first = pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
            first.is_empty() || fields.contains(&first)
        };
        self.0.iter().any(|operation| [&operation.path, &operation.from].into_iter().flatten().any(is_among))
    }

    /// Does all operations on a document.
    pub(super) fn apply(&self, document: &mut Value) -> Result<(), Impossible> {
        let mut copied = 0;
        self.0.iter().try_for_each(|operation| operation.apply(document, &mut copied))
    }

    /// A document to which the operations were applied, as errors of the reference show it: the keys of all objects on the way to
    /// what the operations are about are sorted.
    pub(super) fn shown(&self, document: &Value) -> Value {
        let mut document = document.clone();
        let mut parents = BTreeSet::from([""]);
        for path in self.0.iter().flat_map(|operation| [&operation.path, &operation.from]).flatten() {
            parents.extend(path.match_indices('/').map(|(slash, _)| &path[..slash]));
        }
        for parent in parents {
            if let Some(Value::Object(fields)) = document.pointer_mut(parent) {
                fields.sort_keys();
            }
        }
        document
    }
}

/// Fields of the operations that are not known, or there twice.
pub(super) fn faults(body: &[u8]) -> Limited<String> {
    let text = || Field { shape: Shape::Scalar(Scalar::String), patch: PatchStrategy::Plain };
    let any = Field { shape: Shape::Untyped, patch: PatchStrategy::Plain };
    let fields = ["op", "path", "from"].into_iter().map(|name| (name.to_owned(), text()));
    let operation = Shape::Struct(
        Parts::Granular,
        Fields { type_name: String::new(), by_name: fields.chain([("value".to_owned(), any)]).collect() },
    );
    let patch = Shape::List(ListType::Atomic, Box::new(operation));
    strict::text_faults(body, &patch).map(|fault| format!("json patch {fault}"))
}

impl Operation {
    fn apply(&self, document: &mut Value, copied: &mut usize) -> Result<(), Impossible> {
        let value = || self.value.clone().unwrap_or(Value::Null);
        match self.op.as_str() {
            "add" => add(document, self.path()?, value()),
            "remove" => remove(document, self.path()?).map(drop),
            "replace" => replace(document, self.path()?, value()),
            "move" => {
                let value = remove(document, self.from()?)?;
                add(document, self.path()?, value)
            }
            "copy" => {
                // A field that is not there is copied as `null`.
                let from = self.from().and_then(|from| if from.is_empty() { Err(Impossible) } else { Ok(from) })?;
                let value = find(document, from)?.unwrap_or(&Value::Null);
                *copied += size(value, codec::DEEPEST).ok_or(Impossible)?;
                if *copied > MOST_COPIED_BYTES {
                    return Err(Impossible);
                }
                let value = value.clone();
                add(document, self.path()?, value)
            }
            "test" => {
                let nothing = Value::Null;
                let (found, wanted) = (find(document, self.path()?)?, self.value.as_ref());
                let is_same = found.unwrap_or(&nothing) == wanted.unwrap_or(&nothing);
                if is_same { Ok(()) } else { Err(Impossible) }
            }
            _ => Err(Impossible),
        }
    }

    fn path(&self) -> Result<&str, Impossible> {
        self.path.as_deref().ok_or(Impossible)
    }

    fn from(&self) -> Result<&str, Impossible> {
        self.from.as_deref().ok_or(Impossible)
    }
}

/// The steps of a path, the last apart. What stands before the first slash does not count.
fn steps(path: &str) -> Result<(Vec<String>, String), Impossible> {
    let decoded = |step: &str| step.replace("~1", "/").replace("~0", "~");
    let mut steps = path.split('/').skip(1).map(decoded).collect::<Vec<_>>();
    let last = steps.pop().ok_or(Impossible)?;
    if steps.len() < codec::DEEPEST { Ok((steps, last)) } else { Err(Impossible) }
}

/// A place in a list; negative ones count back from `length`.
fn index(step: &str, length: usize) -> Result<usize, Impossible> {
    let digits = step.strip_prefix(['+', '-']).unwrap_or(step);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Impossible);
    }
    let distance: usize = digits.parse().map_err(|_| Impossible)?;
    if step.starts_with('-') && distance > 0 { length.checked_sub(distance).ok_or(Impossible) } else { Ok(distance) }
}

/// The value at a path; none where an object lacks the last field.
fn find<'a>(document: &'a Value, path: &str) -> Result<Option<&'a Value>, Impossible> {
    if path.is_empty() {
        return Ok(Some(document));
    }
    let (steps, last) = steps(path)?;
    let parent = steps.iter().try_fold(document, |value, step| child(value, step)?.ok_or(Impossible))?;
    child(parent, &last)
}

fn child<'a>(value: &'a Value, step: &str) -> Result<Option<&'a Value>, Impossible> {
    match value {
        Value::Object(fields) => Ok(fields.get(step)),
        Value::Array(items) => items.get(index(step, items.len())?).map(Some).ok_or(Impossible),
        _ => Err(Impossible),
    }
}

/// The object or list that the last step of a path starts from, and that step.
fn parent<'a>(document: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), Impossible> {
    let (steps, last) = steps(path)?;
    let step_down = |value: &'a mut Value, step: &String| match value {
        Value::Object(fields) => fields.get_mut(step).ok_or(Impossible),
        Value::Array(items) => {
            let at = index(step, items.len())?;
            items.get_mut(at).ok_or(Impossible)
        }
        _ => Err(Impossible),
    };
    Ok((steps.iter().try_fold(document, step_down)?, last))
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), Impossible> {
    match parent(document, path)? {
        (Value::Object(fields), name) => _ = fields.insert(name, value),
        (Value::Array(items), step) if step == "-" => items.push(value),
        (Value::Array(items), step) => {
            let at = index(&step, items.len() + 1)?;
            if at > items.len() {
                return Err(Impossible);
            }
            items.insert(at, value);
        }
        _ => return Err(Impossible),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str) -> Result<Value, Impossible> {
    match parent(document, path)? {
        (Value::Object(fields), name) => fields.swap_remove(&name).ok_or(Impossible),
        (Value::Array(items), step) => {
            let at = index(&step, items.len())?;
            if at < items.len() { Ok(items.remove(at)) } else { Err(Impossible) }
        }
        _ => Err(Impossible),
    }
}

fn replace(document: &mut Value, path: &str, value: Value) -> Result<(), Impossible> {
    if path.is_empty() {
        *document = Some(value).filter(|value| value.is_object() || value.is_array()).ok_or(Impossible)?;
        return Ok(());
    }
    match parent(document, path)? {
        (Value::Object(fields), name) => _ = fields.insert(name, value),
        (Value::Array(items), step) => {
            let at = index(&step, items.len())?;
            *items.get_mut(at).ok_or(Impossible)? = value;
        }
        _ => return Err(Impossible),
    }
    Ok(())
}

/// About how many bytes of JSON a value is; none if it is nested deeper than `left`.
fn size(value: &Value, left: usize) -> Option<usize> {
    let left = left.checked_sub(1)?;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(4),
        Value::String(text) => Some(text.len() + 2),
        Value::Array(items) => items.iter().map(|item| Some(size(item, left)? + 1)).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| Some(name.len() + 4 + size(value, left)?)).sum(),
    }
}
