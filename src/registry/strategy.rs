//! What differs from one stored type to another, and from one path of a type to another.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use crate::auth::ResourceAction;
use crate::machinery::json;
use crate::meta::{Kind, ObjectMeta, Time, field};
use crate::registry::permission::Permission;
use crate::store::Change;

/// How objects of a type are written through one path: the objects themselves, or an aspect of theirs such as the status.
///
/// A write goes through these in order: [`reset_fields`](Self::reset_fields), [`prepare`](Self::prepare), [`needs`](Self::needs),
/// [`validate`](Self::validate), [`decorate`](Self::decorate). All are pure, and may be called again and again while dependencies change the
/// object.
pub trait UpdateStrategy<T: Kind>: Send + Sync + 'static {
    /// The aspect, as managedFields name it; empty for the objects themselves.
    fn subresource(&self) -> &'static str {
        ""
    }

    /// The fields beside `metadata` that are not written through this path, so that nobody owns them by it.
    fn ignored_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// The part of an object that is written through this path: but for what is [ignored](Self::ignored), which is empty.
    fn writable_part<'a>(&self, object: &'a T) -> Cow<'a, T> {
        Cow::Borrowed(object)
    }

    /// Gives `new` what this path cannot change: of `old`, or of nothing for a new object. What a client wants to have there is
    /// not even known to managedFields.
    fn reset_fields(&self, _old: Option<&T>, _new: &mut T) {}

    /// Sets in `new` what the server computes from the two.
    fn prepare(&self, _old: Option<&T>, _new: &mut T) {}

    /// The other objects of the type that must be known to settle `new`.
    fn dependencies(&self, _old: Option<&T>, _new: &T) -> Vec<Dependency> {
        Vec::new()
    }

    /// Sets in `new` what the server computes from dependencies too, and answers the faults besides those of metadata in general.
    fn validate(&self, old: Option<&T>, new: &mut T, dependencies: &Dependencies<T>, now: Time) -> ValidationErrors;

    /// Which faults of the metadata of a changed object are told a second time.
    fn duplicate_errors(&self) -> DuplicateErrors {
        DuplicateErrors::All
    }

    /// Sets what is computed on the way out and never stored.
    fn decorate(&self, _object: &mut T) {}
}

/// The faults of an object besides those of its metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValidationErrors {
    /// Those that are told before the faults of the metadata.
    pub before_metadata: field::Errors,
    /// Those that are told after them.
    pub after_metadata: field::Errors,
}

impl From<field::Errors> for ValidationErrors {
    fn from(errors: field::Errors) -> Self {
        Self { before_metadata: field::Errors::default(), after_metadata: errors }
    }
}

/// Which faults of the metadata of a changed object are told twice. The reference judges it once for all types of objects, and once
/// for the path that the change takes, which does not always look at everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateErrors {
    /// All of them.
    All,
    /// Those that come from comparing it with the present one.
    Changes,
}

/// How objects of a type are stored, and the rules of their main path.
pub trait Strategy<T: Kind>: UpdateStrategy<T> {
    /// The fields that lists can select by, besides name and namespace.
    fn selectable_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// The stored value of one of those fields.
    fn field(&self, _object: &T, _name: &str) -> String {
        String::new()
    }

    /// The rules for names that `name` breaks.
    fn name_errors(&self, name: &str) -> Vec<&'static str>;

    /// Errors about what `new`, as a client sent it, has too much of and more than `old`. They are looked for on all paths,
    /// before anything is computed from the object.
    fn limit_errors(&self, _old: Option<&T>, _new: &T) -> field::Errors {
        field::Errors::default()
    }

    /// What becomes of dependents when an object is deleted.
    fn garbage_collection(&self) -> GarbageCollection {
        GarbageCollection::Supported
    }

    /// Changes to other rows that belong into the transaction that puts `new` in the place of `old` under a name.
    fn derived_rows(&self, _name: &str, _old: Option<&T>, _new: Option<&T>) -> Vec<Change> {
        Vec::new()
    }

    /// The form in which an object is stored. The resourceVersion in it does not count: it is that of the row.
    fn encode(&self, object: &T) -> Vec<u8> {
        json::encode(object)
    }

    /// The object that was stored in this form.
    ///
    /// # Errors
    /// A sentence for the log, when the bytes are none that `encode` writes.
    fn decode(&self, bytes: &[u8]) -> Result<T, String> {
        serde_json::from_slice(bytes).map_err(|why| why.to_string())
    }

    /// An object that has the metadata of the one that was stored in this form, and nothing else. What is not metadata is
    /// passed over, so that this costs much less than [`decode`](Self::decode).
    ///
    /// # Errors
    /// As for [`decode`](Self::decode).
    fn decode_metadata(&self, bytes: &[u8]) -> Result<T, String> {
        let OnlyMetadata { metadata } = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        let mut object = T::default();
        *object.metadata_mut() = metadata;
        Ok(object)
    }
}

/// What is read of an object of which only the metadata is wanted.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OnlyMetadata {
    metadata: ObjectMeta,
}

/// What becomes of the dependents of objects of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GarbageCollection {
    /// The garbage collector cares for them, as the deletion says.
    Supported,
    /// There are none, whatever the deletion says.
    Unsupported,
}

/// Another object that must be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What the user must be allowed to do for it to be looked at; nothing where the request's own permission is enough.
    pub permission: Option<Box<ResourceAction>>,
}

/// What became of a [`Dependency`].
#[derive(Clone, Debug, PartialEq)]
pub enum ResolvedDependency<T> {
    /// The object as it is stored.
    Found(Arc<T>),
    /// There is none.
    Missing,
    /// The user may not know. Whether there is one was not looked up.
    Denied(Permission),
}

/// The objects that were needed.
#[derive(Clone, Debug)]
pub struct Dependencies<T>(pub Vec<(Dependency, ResolvedDependency<T>)>);

impl<T> Dependencies<T> {
    /// Nothing was needed.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// What became of the dependency for an object; none where it was not needed.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&ResolvedDependency<T>> {
        self.0
            .iter()
            .find(|(dependency, _)| dependency.namespace == namespace && dependency.name == name)
            .map(|(_, other)| other)
    }
}
