//! The verbs of the API: the one table of their names and methods.

use http::Method;

use crate::machinery::query::Query;

/// A verb of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Creates an object.
    Create,
    /// Deletes an object.
    Delete,
    /// Deletes the selected objects of a collection.
    DeleteCollection,
    /// Reads an object.
    Get,
    /// Reads the selected objects of a collection.
    List,
    /// Changes parts of an object.
    Patch,
    /// Replaces an object.
    Update,
    /// Reads the changes of an object or a collection.
    Watch,
}

impl Verb {
    /// The verb of a request for the object `name` or, if that is empty, for a collection. None for
    /// methods without a verb, such as OPTIONS.
    ///
    /// The rules are those of `NewRequestInfo` in
    /// k8s.io/apiserver/pkg/endpoints/request/requestinfo.go.
    pub fn of_request(method: &Method, name: &str, query: &Query) -> Option<Self> {
        Some(match (method.as_str(), name.is_empty()) {
            ("GET" | "HEAD", false) => Self::Get,
            ("GET" | "HEAD", true) if query.switch("watch") => Self::Watch,
            ("GET" | "HEAD", true) => Self::List,
            ("POST", _) => Self::Create,
            ("PUT", _) => Self::Update,
            ("PATCH", _) => Self::Patch,
            ("DELETE", false) => Self::Delete,
            ("DELETE", true) => Self::DeleteCollection,
            _ => return None,
        })
    }

    /// The name in discovery, authorization and audit events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }

    /// The label in metrics, as `CanonicalVerb` and `cleanVerb` in
    /// k8s.io/apiserver/pkg/endpoints/metrics/metrics.go make it.
    pub fn metric_label(self) -> &'static str {
        match self {
            Self::Create => "POST",
            Self::Delete => "DELETE",
            Self::DeleteCollection => "DELETECOLLECTION",
            Self::Get => "GET",
            Self::List => "LIST",
            Self::Patch => "PATCH",
            Self::Update => "PUT",
            Self::Watch => "WATCH",
        }
    }

    /// The method that handlers of this verb serve.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Create => Method::POST,
            Self::Delete | Self::DeleteCollection => Method::DELETE,
            Self::Get | Self::List | Self::Watch => Method::GET,
            Self::Patch => Method::PATCH,
            Self::Update => Method::PUT,
        }
    }

    /// Returns true for verbs whose path names no object.
    pub(crate) fn is_on_collection(self) -> bool {
        matches!(self, Self::Create | Self::DeleteCollection | Self::List | Self::Watch)
    }
}
