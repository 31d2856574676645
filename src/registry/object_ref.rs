//! References to objects and collections.

use crate::meta::{Status, field, path_segment_errors};

/// A reference to an object or, without a name, to a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectRef {
    /// The namespace; none for cluster-scoped objects and for collections across all namespaces.
    pub namespace: Option<String>,
    /// The name; none for collections.
    pub name: Option<String>,
}

impl ObjectRef {
    /// The object `name` of a namespace.
    pub fn in_namespace(namespace: &str, name: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), name: Some(name.to_owned()) }
    }

    /// The cluster-scoped object `name`.
    pub fn of_cluster(name: &str) -> Self {
        Self { namespace: None, name: Some(name.to_owned()) }
    }

    /// The collection of a namespace.
    pub fn all_in(namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), name: None }
    }

    /// The name; empty for collections.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The namespace; empty for cluster-scoped objects and for collections across all namespaces.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }
}

/// Checks that a name can be a segment of a storage path.
///
/// # Errors
/// 400 with the broken rule, as `path.ValidatePathSegmentName` in k8s.io/apimachinery.
pub fn check_path_segment(name: &str) -> Result<(), Status> {
    path_segment_errors(name).first().map_or(Ok(()), |error| {
        let name = field::quote(name);
        Err(Status::bad_request(format!("Name parameter invalid: {name}: {error}")))
    })
}
