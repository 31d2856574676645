//! Request info: a request's verb and the object or collection that it is for.
//!
//! It is computed once per request. Authorization, routing, audit events, metrics and limits all
//! use the same [`RequestInfo`], so a request cannot be authorized as one thing and executed as
//! another. The rules are those of `NewRequestInfo` in
//! k8s.io/apiserver/pkg/endpoints/request/requestinfo.go. They apply to any path; a client learns
//! if a resource exists only after authorization.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use super::verb::Verb;
use crate::auth::{Attributes, ResourceAction};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::query::{Query, has_valid_escapes};
use crate::machinery::selector;
use crate::meta::{Status, excerpt, path_segment_errors};
use crate::registry::object_ref::ObjectRef;

/// The path of a request, as sent and decoded.
#[derive(Clone, Debug)]
pub struct RequestPath<'a> {
    sent: &'a str,
    decoded: Cow<'a, str>,
    /// The path contains a percent sign.
    has_escapes: bool,
}

/// The verb of a request and its target.
#[derive(Clone, Copy, Debug)]
pub struct RequestInfo<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// The path, decoded.
    pub path: &'a str,
    /// The query parameters.
    pub query: &'a Query,
    target: RequestTarget<'a>,
}

/// The target of a request.
#[derive(Clone, Copy, Debug)]
enum RequestTarget<'a> {
    /// Objects, real or not.
    Resource(ResourceInfo<'a>),
    /// Any other path, such as `/version`.
    NonResource,
    /// A prefix such as `watch` without a resource. Kubernetes cannot classify it either.
    Invalid,
}

/// The part of the request info that resources have. Empty texts stand for absent ones.
#[derive(Clone, Copy, Debug)]
pub struct ResourceInfo<'a> {
    /// The verb. None for the prefix `proxy` and for methods without a verb, such as OPTIONS.
    pub verb: Option<Verb>,
    /// The prefix before the resource.
    pub prefix: Option<PathPrefix>,
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The version of the API group.
    pub version: &'a str,
    /// The namespace; empty for cluster-scoped objects and for all namespaces.
    pub namespace: &'a str,
    /// The plural name of the resource.
    pub resource: &'a str,
    /// The name of the object; empty for collections.
    pub name: &'a str,
    /// The subresource, such as `status`; empty for the object itself.
    pub subresource: &'a str,
    form: PathForm<'a>,
}

/// A deprecated prefix of the resource in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathPrefix {
    /// `watch/`, the form of watches before the parameter `watch`.
    Watch,
    /// `proxy/`, which no resource serves.
    Proxy,
}

/// The form of a path, which decides if it can be routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathForm<'a> {
    /// `/apis/GROUP/VERSION/[watch/][namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE]]`.
    Routable,
    /// Any other form.
    Unknown,
    /// A percent sign without two hexadecimal digits in this part below the version.
    BrokenEscape(&'a str),
}

/// The kinds of requests that have limits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// GET, HEAD and OPTIONS.
    ReadOnly,
    /// All other methods.
    Mutating,
}

impl<'a> RequestPath<'a> {
    /// Decodes a path, so that `%2F` separates segments as `/` does.
    pub fn new(sent: &'a str) -> Self {
        // The search is many times faster than the decoder.
        let has_escapes = sent.contains('%');
        let decoded = match has_escapes {
            true => percent_decode_str(sent).decode_utf8_lossy(),
            false => Cow::Borrowed(sent),
        };
        Self { sent, decoded, has_escapes }
    }
}

impl<'a> RequestInfo<'a> {
    /// Reads method, path and query.
    pub fn new(method: &'a Method, path: &'a RequestPath<'a>, query: &'a Query) -> Self {
        let target = classify(method, path, query);
        Self { method, path: &path.decoded, query, target }
    }

    /// The resource part. None for other paths.
    pub fn resource(&self) -> Option<&ResourceInfo<'a>> {
        match &self.target {
            RequestTarget::Resource(resource) => Some(resource),
            RequestTarget::NonResource | RequestTarget::Invalid => None,
        }
    }

    /// The resource part of a request for a resource of `api`. None for other paths.
    pub fn resource_of(&self, api: GroupVersion) -> Option<&ResourceInfo<'a>> {
        self.resource()
            .filter(|resource| resource.group == api.group && resource.version == api.version)
    }

    /// The kind of the request.
    pub fn kind(&self) -> RequestKind {
        match *self.method {
            Method::GET | Method::HEAD | Method::OPTIONS => RequestKind::ReadOnly,
            _ => RequestKind::Mutating,
        }
    }

    /// The attributes for authorization. None for a path that cannot be classified.
    pub fn attributes(&self) -> Option<Attributes> {
        match &self.target {
            RequestTarget::Resource(resource) => {
                Some(Attributes::Resource(Box::new(resource.action(self.query))))
            }
            RequestTarget::NonResource => Some(Attributes::Path {
                path: self.path.to_owned(),
                verb: self.method.as_str().to_ascii_lowercase(),
            }),
            RequestTarget::Invalid => None,
        }
    }
}

impl ResourceInfo<'_> {
    /// Returns true for a watch that can be routed.
    pub fn is_watch(&self) -> bool {
        self.verb == Some(Verb::Watch) && self.form == PathForm::Routable
    }

    /// Checks that the path has a form that can be routed.
    ///
    /// # Errors
    /// 404 for an unknown form, 400 for a broken percent escape.
    pub fn check_form(&self) -> Result<(), Status> {
        match self.form {
            PathForm::Routable => Ok(()),
            PathForm::Unknown => Err(Status::no_such_path()),
            PathForm::BrokenEscape(path) => {
                let path = excerpt::of(path);
                Err(Status::bad_request(format!("the path {path:?} has a broken percent escape")))
            }
        }
    }

    /// The verb in authorization and audit events; empty for methods without one.
    pub fn verb_name(&self) -> &'static str {
        match self.prefix {
            Some(PathPrefix::Proxy) => "proxy",
            Some(PathPrefix::Watch) | None => self.verb.map_or("", Verb::name),
        }
    }

    /// The reference to the object or collection.
    pub fn object_ref(&self) -> ObjectRef {
        let owned = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ObjectRef { namespace: owned(self.namespace), name: owned(self.name) }
    }

    /// The action to authorize. The name and the requirements of a selector are part of it.
    fn action(&self, query: &Query) -> ResourceAction {
        let name = match (self.verb, self.prefix) {
            (Some(Verb::List | Verb::Watch), None) => selected_name(query),
            _ => self.name.to_owned(),
        };
        let (fields, labels) = match self.verb {
            Some(Verb::List | Verb::Watch | Verb::DeleteCollection) => {
                selector::requirements(query)
            }
            _ => Default::default(),
        };
        ResourceAction {
            verb: self.verb_name().to_owned(),
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            resource: self.resource.to_owned(),
            subresource: self.subresource.to_owned(),
            namespace: self.namespace.to_owned(),
            name,
            fields,
            labels,
        }
    }
}

/// The name that the field selector of a collection demands; empty for none and for an invalid one.
fn selected_name(query: &Query) -> String {
    selector::exact_name(query)
        .filter(|name| path_segment_errors(name).is_empty())
        .unwrap_or_default()
}

fn classify<'a>(method: &Method, path: &'a RequestPath<'a>, query: &Query) -> RequestTarget<'a> {
    let Some((group, version, rest)) = split_api(path.decoded.trim_matches('/')) else {
        return RequestTarget::NonResource;
    };
    let (prefix, rest) = match rest.split_once('/') {
        Some(("watch", rest)) => (Some(PathPrefix::Watch), rest),
        Some(("proxy", rest)) => (Some(PathPrefix::Proxy), rest),
        None if ["watch", "proxy"].contains(&rest) => return RequestTarget::Invalid,
        _ => (None, rest),
    };
    let (namespace, parts) = split_namespace(rest);
    let mut parts = parts.split('/');
    let (resource, name, subresource) =
        (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let has_gap = [Some(resource), name, subresource].contains(&Some(""));
    let has_more = parts.next().is_some();
    let form = match below_version(path.sent, group, version) {
        None => PathForm::Unknown,
        Some(below) if path.has_escapes && !has_valid_escapes(below) => {
            PathForm::BrokenEscape(below)
        }
        Some(_) if has_gap || has_more || prefix == Some(PathPrefix::Proxy) => PathForm::Unknown,
        Some(_) => PathForm::Routable,
    };
    let name = name.unwrap_or_default();
    let verb = match prefix {
        Some(PathPrefix::Watch) => Some(Verb::Watch),
        Some(PathPrefix::Proxy) => None,
        None => Verb::of_request(method, name, query),
    };
    let subresource = subresource.filter(|_| prefix != Some(PathPrefix::Proxy)).unwrap_or_default();
    RequestTarget::Resource(ResourceInfo {
        verb,
        prefix,
        group,
        version,
        namespace,
        resource,
        name,
        subresource,
        form,
    })
}

/// Group, version and the rest of a path without outer slashes. None if nothing is below a version.
fn split_api(path: &str) -> Option<(&str, &str, &str)> {
    let (root, rest) = path.split_once('/')?;
    let (group, rest) = match root {
        "apis" => rest.split_once('/')?,
        "api" => ("", rest),
        _ => return None,
    };
    let (version, rest) = rest.split_once('/')?;
    Some((group, version, rest))
}

/// The namespace, empty for none, and the rest, which begins with the resource. Namespaces and
/// their subresources are resources themselves.
fn split_namespace(path: &str) -> (&str, &str) {
    let Some(inside) = path.strip_prefix("namespaces/") else {
        return ("", path);
    };
    let Some((namespace, rest)) = inside.split_once('/') else {
        return (inside, path);
    };
    match rest.split('/').next() {
        Some("status" | "finalize") => (namespace, path),
        _ => (namespace, rest),
    }
}

/// The part of a path, as sent, below group and version. None unless they were sent without escapes
/// and additional slashes, as handlers are found only then.
fn below_version<'a>(sent: &'a str, group: &str, version: &str) -> Option<&'a str> {
    let below_group = match group {
        "" => sent.strip_prefix("/api/")?,
        group => sent.strip_prefix("/apis/")?.strip_prefix(group)?.strip_prefix('/')?,
    };
    below_group.strip_prefix(version)?.strip_prefix('/')
}

#[cfg(test)]
mod tests;
