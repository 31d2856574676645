//! What a request wants to do, as Kubernetes' rules for paths and methods have it: the question that authorization answers.
//!
//! These rules take any path for what it looks like. Whether there is such a resource is found out afterwards, by those only who
//! may ask for it.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::auth::{Attributes, ResourceAction};
use crate::machinery::query::Query;
use crate::machinery::selector;
use crate::meta::path_segment_faults;

/// What a request wants to do; none for the few paths that mean nothing.
pub fn attributes(method: &Method, path: &str, query: &Query) -> Option<Attributes> {
    let decoded = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let segments: Vec<&str> = decoded.trim_matches('/').split('/').collect();
    let (group, version, rest) = match segments[..] {
        ["apis", group, version, ref rest @ ..] if !rest.is_empty() => (group, version, rest),
        ["api", version, ref rest @ ..] if !rest.is_empty() => ("", version, rest),
        _ => return Some(Attributes::Path { verb: method.as_str().to_ascii_lowercase(), path: decoded }),
    };
    let (prefix, rest) = match rest {
        ["watch" | "proxy"] => return None,
        [prefix @ ("watch" | "proxy"), rest @ ..] => (Some(*prefix), rest),
        rest => (None, rest),
    };
    let (namespace, parts) = match rest {
        ["namespaces", namespace, "status" | "finalize", ..] => (*namespace, rest),
        ["namespaces", namespace, parts @ ..] if !parts.is_empty() => (*namespace, parts),
        ["namespaces", namespace] => (*namespace, rest),
        parts => ("", parts),
    };
    let part = |at: usize| parts.get(at).copied().unwrap_or_default();
    let mut action = ResourceAction {
        group: group.to_owned(),
        version: version.to_owned(),
        resource: part(0).to_owned(),
        subresource: if prefix == Some("proxy") { String::new() } else { part(2).to_owned() },
        namespace: namespace.to_owned(),
        name: part(1).to_owned(),
        ..ResourceAction::default()
    };
    action.verb = prefix.unwrap_or_else(|| verb(method)).to_owned();
    if action.name.is_empty() {
        match action.verb.as_str() {
            "get" => {
                action.verb = if query.switch("watch") { "watch" } else { "list" }.into();
                action.name = one_name(query);
            }
            "delete" => action.verb = "deletecollection".into(),
            _ => {}
        }
    }
    if ["list", "watch", "deletecollection"].contains(&action.verb.as_str()) {
        (action.fields, action.labels) = selector::requirements(query);
    }
    Some(Attributes::Resource(Box::new(action)))
}

fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" | "HEAD" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

/// The name of the one object that a list is about, if its field selector says so.
fn one_name(query: &Query) -> String {
    let name = selector::exact_name(query).unwrap_or_default();
    if path_segment_faults(&name).is_empty() { name } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::target::Target;
    use crate::machinery::selector::Requirement;
    use proptest::prelude::*;

    fn action(method: &str, path: &str, query: &str) -> ResourceAction {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        match attributes(&method, &format!("/apis/image.openshift.io/v1/{path}"), &Query::parse(Some(query))) {
            Some(Attributes::Resource(action)) => *action,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Verb, resource with its subresource, namespace, name.
    fn told(method: &str, path: &str, query: &str) -> String {
        let ResourceAction { verb, resource, subresource, namespace, name, .. } = action(method, path, query);
        format!("{verb} {resource}/{subresource} {namespace} {name}")
    }

    #[test]
    fn methods_and_paths_make_verbs_and_objects() {
        for (method, path, query, wanted) in [
            ("GET", "namespaces/lab/isis/x@sha256:ab", "", "get isis/ lab x@sha256:ab"),
            ("HEAD", "namespaces/lab/isis/x", "", "get isis/ lab x"),
            ("GET", "namespaces/lab/is", "", "list is/ lab "),
            ("GET", "namespaces/lab/is", "watch=1", "watch is/ lab "),
            ("GET", "namespaces/lab/is", "watch=false", "list is/ lab "),
            ("GET", "namespaces/lab/is", "fieldSelector=metadata.name%3Da", "list is/ lab a"),
            ("GET", "namespaces/lab/is", "fieldSelector=metadata.name%21%3Da", "list is/ lab "),
            ("GET", "watch/namespaces/lab/is/x", "", "watch is/ lab x"),
            ("POST", "namespaces/lab/is", "", "create is/ lab "),
            ("PUT", "namespaces/lab/is/a/status", "", "update is/status lab a"),
            ("PATCH", "namespaces/lab/is/a", "", "patch is/ lab a"),
            ("DELETE", "namespaces/lab/is/a", "", "delete is/ lab a"),
            ("DELETE", "images", "", "deletecollection images/  "),
            ("OPTIONS", "namespaces/lab/is/a", "", " is/ lab a"),
            ("GET", "images/x/y/z/more", "", "get images/y  x"),
            ("GET", "namespaces/lab", "", "get namespaces/ lab lab"),
            ("GET", "namespaces/lab/is/a%20b", "", "get is/ lab a b"),
        ] {
            assert_eq!(told(method, path, query), wanted, "{method} {path}?{query}");
        }
    }

    #[test]
    fn what_a_list_selects_is_told_if_it_can_be_read() {
        let action = action("GET", "is", "labelSelector=a%3Db,c,!d,e+notin+(f)&fieldSelector=metadata.name!%3Dx");
        let told = |requirements: &[Requirement]| -> Vec<String> {
            let values = |each: &Requirement| each.values.as_ref().map_or(String::new(), |values| values.join("|"));
            requirements.iter().map(|each| format!("{} {} {}", each.key, each.operator, values(each))).collect()
        };
        assert_eq!(told(&action.labels), ["a In b", "c Exists ", "d DoesNotExist ", "e NotIn f"]);
        assert_eq!(told(&action.fields), ["metadata.name NotIn x"]);
        let action = self::action("GET", "is", "labelSelector=a+b");
        assert!(action.labels.is_empty());
    }

    #[test]
    fn other_paths_are_paths() {
        for path in ["/", "/version", "/apis", "/apis/image.openshift.io/v1", "/openapi/v3/apis/image.openshift.io/v1"]
        {
            let attributes = attributes(&Method::POST, path, &Query::default()).unwrap();
            assert_eq!(attributes, Attributes::Path { path: path.into(), verb: "post".into() });
        }
    }

    #[test]
    fn a_watch_of_nothing_means_nothing() {
        let path = "/apis/image.openshift.io/v1/watch";
        assert_eq!(attributes(&Method::GET, path, &Query::default()), None);
    }

    /// Parts of paths that could be understood in two ways.
    fn odd_path() -> impl Strategy<Value = String> {
        let part = proptest::sample::select(vec![
            "/",
            "//",
            "a",
            "lab",
            "images",
            "imagestreams",
            "namespaces",
            "watch",
            "proxy",
            "status",
            "%2F",
            "%2f",
            "..",
            ".",
            "%2e%2e",
            "%00",
            "%ff",
            "%25",
            "x@sha256:ab",
            " ",
            "?",
            "finalize",
        ]);
        proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(2000))]

        /// Whatever is carried out was allowed as just that.
        #[test]
        fn what_is_authorized_is_what_is_done(path in odd_path(), method in proptest::sample::select(vec!["GET", "POST", "PUT", "DELETE"])) {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let Ok(target) = Target::parse(&path) else { return Ok(()) };
            let attributes = attributes(&method, &format!("/apis/image.openshift.io/v1/{path}"), &Query::default());
            let Some(Attributes::Resource(asked)) = attributes else { return Ok(()) };
            let served = ["images", "imagestreams"].contains(&target.resource.as_str());
            if served {
                prop_assert_eq!(&asked.resource, &target.resource);
                prop_assert_eq!(&asked.name, target.name.as_deref().unwrap_or_default());
                prop_assert_eq!(&asked.namespace, target.namespace.as_deref().unwrap_or_default());
                prop_assert_eq!(&asked.subresource, target.subresource.as_deref().unwrap_or_default());
                prop_assert_eq!(asked.verb.as_str(), target.verb(&method, &Query::default()));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(path in ".*", query in ".*") {
            let _ = attributes(&Method::GET, &path, &Query::parse(Some(&query)));
        }
    }
}
