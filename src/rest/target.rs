//! What a path below `/apis/<group>/<version>` names, and the verb that a method is on it.

use http::Method;
use percent_encoding::percent_decode_str;

use super::query::{Query, has_sound_escapes};
use crate::meta::Status;

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
}

impl Target {
    /// Takes a path apart that begins behind `/apis/<group>/<version>/`.
    ///
    /// The path is decoded first, so `%2F` separates as `/` does. Slashes at the end do not count.
    ///
    /// # Errors
    /// 404 for paths of no known form, 400 for a broken escape.
    pub fn parse(path: &str) -> Result<Self, Status> {
        if !has_sound_escapes(path) {
            return Err(Status::bad_request(format!("the path {path:?} has a broken percent escape")));
        }
        let path = percent_decode_str(path).decode_utf8_lossy();
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let (namespace, rest) = match &segments[..] {
            ["namespaces", namespace, rest @ ..] => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (resource, name, subresource) = match *rest {
            [resource] => (resource, None, None),
            [resource, name] => (resource, Some(name), None),
            [resource, name, subresource] => (resource, Some(name), Some(subresource)),
            _ => return Err(Status::no_such_path()),
        };
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
        })
    }

    /// The verb that authorization and metrics know a request by; empty for methods that are none.
    pub fn verb(&self, method: &Method, query: &Query) -> &'static str {
        match (method.as_str(), self.name.is_some()) {
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
        Err(Status::bad_request(format!("Name parameter invalid: {}: {fault}", crate::meta::field::quote(name))))
    })
}

/// The rules for a segment of a storage path that a name breaks.
pub fn path_segment_faults(name: &str) -> Vec<&'static str> {
    match name {
        "." => return vec!["may not be '.'"],
        ".." => return vec!["may not be '..'"],
        _ => {}
    }
    let rules = [('/', "may not contain '/'"), ('%', "may not contain '%'")];
    rules.iter().filter(|(letter, _)| name.contains(*letter)).map(|(_, fault)| *fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Option<(Option<String>, String, Option<String>, Option<String>)> {
        let target = Target::parse(path).ok()?;
        Some((target.namespace, target.resource, target.name, target.subresource))
    }

    #[test]
    fn paths_are_decoded_and_slashes_at_the_end_do_not_count() {
        let some = |text: &str| Some(text.to_owned());
        let expected = Some((some("n"), "isis".to_owned(), some("a@b:c"), None));
        assert_eq!(parse("namespaces/n/isis/a%40b%3ac//"), expected);
        assert_eq!(parse("namespaces/n/isis/a/status"), Some((some("n"), "isis".to_owned(), some("a"), some("status"))));
        assert_eq!(parse("namespaces//isis"), Some((None, "isis".to_owned(), None, None)));
        assert_eq!(parse("images/x"), Some((None, "images".to_owned(), some("x"), None)));
    }

    #[test]
    fn paths_of_no_known_form_are_not_found() {
        for path in ["", "namespaces", "namespaces/n", "/namespaces/n/isis/x", "namespaces/n//isis/x", "images/x/y/z", "namespaces/n/i/a/b/c"] {
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
