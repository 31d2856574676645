//! What a path below `/apis/<group>/<version>` names, and the verb that a method is on it.
//!
//! Before there was the parameter `watch` the paths of watches began with `watch/`. Clients that are old still ask that way.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::machinery::query::{Query, has_sound_escapes};
use crate::meta::{Status, excerpt, field, path_segment_faults};

/// The part of a path below group and version, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The namespace; none for objects of the whole cluster and for lists over all namespaces.
    pub namespace: Option<String>,
    /// The plural name of the resource.
    pub resource: String,
    /// The name of one object.
    pub name: Option<String>,
    /// What of the object is meant, such as `status`.
    pub subresource: Option<String>,
    /// What a GET of the path reads.
    pub reads: Reads,
}

/// What a GET reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// What is there, if the query says nothing else.
    #[default]
    State,
    /// What changes, as paths that begin with `watch/` say.
    Changes,
}

impl Target {
    /// Takes a path apart that begins behind `/apis/<group>/<version>/`.
    ///
    /// The path is decoded first, so `%2F` separates as `/` does. Slashes at the end do not count.
    ///
    /// # Errors
    /// 404 for paths of no known form, 400 for a broken escape.
    pub fn parse(path: &str) -> Result<Self, Status> {
        if !path.contains('%') {
            return Self::of_decoded(path);
        }
        if !has_sound_escapes(path) {
            return Err(Status::bad_request(format!("the path {:?} has a broken percent escape", excerpt::of(path))));
        }
        Self::of_decoded(&percent_decode_str(path).decode_utf8_lossy())
    }

    fn of_decoded(path: &str) -> Result<Self, Status> {
        let path = path.trim_end_matches('/');
        let (reads, path) = match path.strip_prefix("watch/") {
            Some(path) => (Reads::Changes, path),
            None => (Reads::State, path),
        };
        let (namespace, rest) = match path.strip_prefix("namespaces/").and_then(|rest| rest.split_once('/')) {
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, path),
        };
        let mut segments = rest.split('/');
        let (resource, name, subresource) = (segments.next().unwrap_or_default(), segments.next(), segments.next());
        if segments.next().is_some() {
            return Err(Status::no_such_path());
        }
        let has_gap = [Some(resource), name, subresource].contains(&Some(""));
        if has_gap || resource == "namespaces" {
            return Err(Status::no_such_path());
        }
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self {
            namespace: owned(namespace),
            resource: resource.to_owned(),
            name: owned(name),
            subresource: owned(subresource),
            reads,
        })
    }

    /// Whether a GET with this query reads what changes, be there such a thing or not. One object is watched through the path
    /// of all, or through one that begins with `watch/`.
    pub fn is_watch(&self, query: &Query) -> bool {
        self.reads == Reads::Changes || (self.name.is_none() && query.switch("watch"))
    }

    /// The verb that authorization and metrics know a request by; empty for methods that are none.
    pub fn verb(&self, method: &Method, query: &Query) -> &'static str {
        match (method.as_str(), self.name.is_some()) {
            // Whatever the method is, it is not known before the path.
            _ if self.reads == Reads::Changes => "watch",
            ("GET" | "HEAD", true) => "get",
            ("GET" | "HEAD", false) if query.switch("watch") => "watch",
            ("GET" | "HEAD", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "",
        }
    }
}

/// Refuses names that cannot be a segment of a storage path.
///
/// # Errors
/// 400 with the rule that is broken.
pub fn check_path_segment(name: &str) -> Result<(), Status> {
    path_segment_faults(name).first().map_or(Ok(()), |fault| {
        Err(Status::bad_request(format!("Name parameter invalid: {}: {fault}", field::quote(name))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(namespace: Option<&str>, resource: &str, name: Option<&str>, subresource: Option<&str>) -> Target {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Target {
            namespace: owned(namespace),
            resource: resource.into(),
            name: owned(name),
            subresource: owned(subresource),
            reads: Reads::State,
        }
    }

    #[test]
    fn a_path_that_begins_with_watch_reads_what_changes() {
        let watched = Target { reads: Reads::Changes, ..target(Some("n"), "isis", Some("a"), None) };
        assert_eq!(Target::parse("watch/namespaces/n/isis/a").unwrap(), watched);
        assert!(watched.is_watch(&Query::default()));
        assert_eq!(Target::parse("watch").unwrap(), target(None, "watch", None, None));
        let named = target(Some("n"), "isis", Some("a"), None);
        assert!(!named.is_watch(&Query::parse(Some("watch=1"))), "a name in the path asks for the object");
    }

    #[test]
    fn paths_are_decoded_and_slashes_at_the_end_do_not_count() {
        let parse = |path: &str| Target::parse(path).unwrap();
        assert_eq!(parse("namespaces/n/isis/a%40b%3ac//"), target(Some("n"), "isis", Some("a@b:c"), None));
        assert_eq!(parse("namespaces/n/isis/a/status"), target(Some("n"), "isis", Some("a"), Some("status")));
        assert_eq!(parse("namespaces//isis"), target(None, "isis", None, None));
        assert_eq!(parse("images/x"), target(None, "images", Some("x"), None));
    }

    #[test]
    fn paths_of_no_known_form_are_not_found() {
        for path in [
            "",
            "namespaces",
            "namespaces/n",
            "/namespaces/n/isis/x",
            "namespaces/n//isis/x",
            "images/x/y/z",
            "namespaces/n/i/a/b/c",
        ] {
            assert_eq!(Target::parse(path).unwrap_err().code, 404, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(path in ".*") {
            let _ = Target::parse(&path);
        }
    }
}
