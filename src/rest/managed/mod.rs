//! Who owns which field: the bookkeeping in `metadata.managedFields`, and server-side apply, which rests on it.

use serde_json::Value;

use super::schema::Schema;
use crate::meta::{Status, Time};

/// Who writes, through what, and when.
#[derive(Clone, Debug)]
pub struct Manager {
    /// Name of the writer.
    pub name: String,
    /// The subresource that is written through; empty for the object itself.
    pub subresource: &'static str,
    /// Group and version of the fields, as in `apiVersion`.
    pub api_version: &'static str,
    /// When.
    pub time: Time,
    /// Names of the fields beside `metadata` that cannot be written this way, such as `status`; they are never owned.
    pub ignored: &'static [&'static str],
}

/// What to do where an apply wants to change fields that others own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// Nothing is changed, and the conflicts are told.
    Refuse,
    /// The fields change, and with them their owner.
    Force,
}

/// `new` with the `metadata.managedFields` that creating it (`old` is none), or putting it in the place of `old`, leads to.
///
/// To be called with what the client sent, decoded and with defaults, before the server sets anything else. The object
/// `old` carries the present managedFields. `[]` or `[{}]` in `new` ends the tracking; an object that is not tracked stays so.
pub fn updated(_schema: &Schema, _old: Option<&Value>, new: Value, _manager: &Manager) -> Value {
    new
}

/// The object that applying `wanted` makes of `live` (none for an object that does not exist), with its managedFields.
///
/// # Errors
/// 400 for a wrong kind, version or field, 409 with the conflicts.
pub fn applied(
    schema: &Schema,
    live: Option<&Value>,
    _wanted: &Value,
    _manager: &Manager,
    _conflicts: Conflicts,
) -> Result<Value, Status> {
    Ok(live.unwrap_or(&schema.empty).clone())
}
