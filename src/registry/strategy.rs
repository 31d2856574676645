//! Strategies: the rules of a stored type, and of each path that writes it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use crate::auth::ResourceAction;
use crate::machinery::json;
use crate::meta::{Kind, ObjectMeta, Time, field};
use crate::registry::permission::Permission;
use crate::store::Change;

/// The rules for writing objects of a type through one path: the resource itself or a subresource
/// such as `status`. As `RESTUpdateStrategy` in k8s.io/apiserver/pkg/registry/rest/update.go.
///
/// A write runs [`reset_fields`](Self::reset_fields), [`prepare`](Self::prepare),
/// [`dependencies`](Self::dependencies), [`validate`](Self::validate),
/// [`warnings`](Self::warnings) and [`decorate`](Self::decorate) in this order. All are pure and may run several times.
pub trait UpdateStrategy<T: Kind>: Send + Sync + 'static {
    /// The subresource in `metadata.managedFields`; empty for the resource itself.
    fn subresource(&self) -> &'static str {
        ""
    }

    /// Top-level fields other than `metadata` that this path does not write, and so never owns.
    fn ignored_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// The part of an object that this path writes: all but the
    /// [ignored fields](Self::ignored_fields).
    fn writable_part<'a>(&self, object: &'a T) -> Cow<'a, T> {
        Cow::Borrowed(object)
    }

    /// Resets the fields of `new` that this path cannot change: to those of `old`, or to their
    /// defaults for a new object. Managed fields do not record them. As
    /// `ResetFieldsStrategy` in k8s.io/apiserver/pkg/registry/rest/rest.go.
    fn reset_fields(&self, _old: Option<&T>, _new: &mut T) {}

    /// Sets the fields of `new` that the server computes, as `PrepareForCreate` and
    /// `PrepareForUpdate`.
    fn prepare(&self, _old: Option<&T>, _new: &mut T) {}

    /// Other objects of the type that validation of `new` needs.
    fn dependencies(&self, _old: Option<&T>, _new: &T) -> Vec<Dependency> {
        Vec::new()
    }

    /// Sets the fields of `new` that depend on other objects, and returns all field errors except
    /// those of the metadata.
    fn validate(
        &self,
        old: Option<&T>,
        new: &mut T,
        dependencies: &Dependencies<T>,
        now: Time,
    ) -> ValidationErrors;

    /// Warnings about a valid write, as `WarningsOnCreate` and `WarningsOnUpdate` in
    /// k8s.io/apiserver/pkg/registry/rest.
    fn warnings(&self, _old: Option<&T>, _new: &T) -> Vec<String> {
        Vec::new()
    }

    /// The metadata errors that an update reports twice.
    fn duplicate_errors(&self) -> DuplicateErrors {
        DuplicateErrors::All
    }

    /// Sets fields that responses contain and the store does not, as `Decorator` of the generic
    /// registry.
    fn decorate(&self, _object: &mut T) {}
}

/// The field errors of an object, without those of its metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValidationErrors {
    /// Errors that are reported before those of the metadata.
    pub before_metadata: field::Errors,
    /// Errors that are reported after those of the metadata.
    pub after_metadata: field::Errors,
}

impl From<field::Errors> for ValidationErrors {
    fn from(errors: field::Errors) -> Self {
        Self { before_metadata: field::Errors::default(), after_metadata: errors }
    }
}

/// The metadata errors that an update reports twice, for message parity with kube-apiserver:
/// `BeforeUpdate` in k8s.io/apiserver/pkg/registry/rest/update.go validates the metadata, and the
/// `ValidateUpdate` of most strategies does so again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateErrors {
    /// All of them.
    All,
    /// The errors of `ValidateObjectMetaAccessorUpdate` only.
    Changes,
}

/// The storage rules of a type, and the rules of its main resource.
pub trait Strategy<T: Kind>: UpdateStrategy<T> {
    /// Fields that field selectors may use, in addition to `metadata.name` and
    /// `metadata.namespace`.
    fn selectable_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// The value of a selectable field.
    fn field(&self, _object: &T, _name: &str) -> String {
        String::new()
    }

    /// The naming rules that `name` breaks.
    fn name_errors(&self, name: &str) -> Vec<&'static str>;

    /// Errors for each limit that `new` exceeds and by which it is larger than `old`. All paths
    /// check them on the object as the client sent it.
    fn limit_errors(&self, _old: Option<&T>, _new: &T) -> field::Errors {
        field::Errors::default()
    }

    /// The garbage collection of dependents when an object is deleted.
    fn garbage_collection(&self) -> GarbageCollection {
        GarbageCollection::Supported
    }

    /// Changes of other rows in the transaction that replaces `old` with `new`.
    fn derived_rows(&self, _name: &str, _old: Option<&T>, _new: Option<&T>) -> Vec<Change> {
        Vec::new()
    }

    /// Changes of other rows in the transaction that removes an unreadable object, or replaces it
    /// with `new`, besides those of [`derived_rows`](Self::derived_rows). The object may have had
    /// any derived rows.
    fn rows_after_damage(&self, _name: &str, _new: Option<&T>) -> Vec<Change> {
        Vec::new()
    }

    /// Encodes an object for the store. Its resourceVersion is ignored, because the revision of the
    /// entry replaces it.
    fn encode(&self, object: &T) -> Vec<u8> {
        json::encode(object)
    }

    /// Decodes the stored form of an object.
    ///
    /// # Errors
    /// A sentence for the log if `encode` did not write these bytes.
    fn decode(&self, bytes: &[u8]) -> Result<T, String> {
        serde_json::from_slice(bytes).map_err(|why| why.to_string())
    }

    /// Returns true if clones of an object share its large parts, so that the decoded forms of large
    /// values are worth keeping.
    fn has_cheap_clones(&self) -> bool {
        false
    }

    /// Prepares a large object for many clones, each of which may be encoded.
    fn prepare_clones(&self, _object: &T) {}

    /// Returns true if [`decode`](Self::decode) returns this object from what
    /// [`encode`](Self::encode) returned for it, apart from the resourceVersion and
    /// [defaults](Kind::default_fields).
    fn decodes_as_encoded(&self, _object: &T) -> bool {
        false
    }

    /// Decodes only the metadata of a stored object. All other fields are skipped, which costs much
    /// less than [`decode`](Self::decode).
    ///
    /// # Errors
    /// The errors of [`decode`](Self::decode).
    fn decode_metadata(&self, bytes: &[u8]) -> Result<T, String> {
        decode_metadata(bytes)
    }

    /// Splits a stored object into its metadata and the JSON of its other fields, which begins with
    /// a comma. None if a response does not contain them as they are stored.
    fn split(&self, _value: &Bytes) -> Option<(ObjectMeta, Bytes)> {
        None
    }

    /// Decodes the metadata of a stored object and the fields that the columns of its table show.
    /// Other fields may be skipped.
    ///
    /// # Errors
    /// The errors of [`decode`](Self::decode).
    fn decode_columns(&self, bytes: &[u8]) -> Result<T, String> {
        self.decode(bytes)
    }
}

/// Decodes only the metadata of an object in JSON.
///
/// # Errors
/// A sentence for the log if the JSON is malformed.
pub fn decode_metadata<T: Kind>(bytes: &[u8]) -> Result<T, String> {
    let OnlyMetadata { metadata } = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
    let mut object = T::default();
    *object.metadata_mut() = metadata;
    Ok(object)
}

/// The metadata of a stored object; all other fields are skipped.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OnlyMetadata {
    metadata: ObjectMeta,
}

/// The garbage collection of dependents of a type, as `GarbageCollectionPolicy` in
/// k8s.io/apiserver/pkg/registry/rest/delete.go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GarbageCollection {
    /// The delete options decide.
    Supported,
    /// Objects of the type have no dependents; the delete options are ignored.
    Unsupported,
}

/// Another object that a write needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The permission that the user needs to read the object; none if the request's own permission
    /// suffices.
    pub permission: Option<Box<ResourceAction>>,
}

/// The result of looking up a [`Dependency`].
#[derive(Clone, Debug, PartialEq)]
pub enum ResolvedDependency<T> {
    /// The stored object.
    Found(Arc<T>),
    /// The object does not exist.
    Missing,
    /// The user lacks the permission; the object was not read.
    Denied(Permission),
}

/// The dependencies of a write.
#[derive(Clone, Debug)]
pub struct Dependencies<T>(pub Vec<(Dependency, ResolvedDependency<T>)>);

impl<T> Dependencies<T> {
    /// No dependencies.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The dependency on an object; none if there is no such dependency.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&ResolvedDependency<T>> {
        self.0
            .iter()
            .find(|(dependency, _)| dependency.namespace == namespace && dependency.name == name)
            .map(|(_, other)| other)
    }
}
