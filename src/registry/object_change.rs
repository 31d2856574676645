//! Changes of objects as the update loop commits them.

use crate::meta::GroupResource;
use crate::store::{Change, Charge};

/// The change of one object: its own row, and the rows derived from it.
#[derive(Debug)]
pub struct ObjectChange {
    /// The resource.
    pub resource: GroupResource<'static>,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The effect on the object.
    pub effect: WriteEffect,
    /// The rows to write.
    pub rows: Vec<Change>,
    /// The account that is charged for the rows.
    pub charge: Charge,
}

/// The effect of a write on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteEffect {
    /// The object is new.
    Created,
    /// The object is replaced.
    Updated,
    /// The object equals the stored one.
    Unchanged,
    /// The object is removed.
    Deleted,
}
