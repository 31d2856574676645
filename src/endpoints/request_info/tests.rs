//! Readings of paths, plain and hostile.

use proptest::prelude::*;

use super::*;
use crate::machinery::selector::Requirement;

const API: GroupVersion =
    GroupVersion { group: "g.example", name: "g.example/v1", version: "v1", kinds: &[] };

/// Calls `check` with the request info of `METHOD PATH?QUERY`.
fn with_info<T>(
    method: &str,
    path: &str,
    query: &str,
    check: impl FnOnce(&RequestInfo<'_>) -> T,
) -> T {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let (path, query) = (RequestPath::new(path), Query::parse(Some(query)));
    check(&RequestInfo::new(&method, &path, &query))
}

/// Calls `check` with the resource part for a path below the API version.
fn with_resource<T>(method: &str, below: &str, check: impl FnOnce(&ResourceInfo<'_>) -> T) -> T {
    with_info(method, &format!("/apis/g.example/v1/{below}"), "", |info| {
        check(info.resource_of(API).unwrap())
    })
}

fn action(method: &str, below: &str, query: &str) -> ResourceAction {
    with_info(method, &format!("/apis/g.example/v1/{below}"), query, |info| {
        match info.attributes() {
            Some(Attributes::Resource(action)) => *action,
            other => panic!("{below}: {other:?}"),
        }
    })
}

/// Namespace, resource, name and subresource.
fn parts(below: &str) -> (String, String, String, String) {
    with_resource("GET", below, |info| {
        info.check_form().unwrap();
        let [namespace, resource, name, subresource] =
            [info.namespace, info.resource, info.name, info.subresource].map(str::to_owned);
        (namespace, resource, name, subresource)
    })
}

fn form_error(below: &str) -> u16 {
    with_resource("GET", below, |info| info.check_form().unwrap_err().code)
}

#[test]
fn methods_and_paths_determine_the_action() {
    for (method, path, query, expected) in [
        ("GET", "namespaces/lab/isis/x@sha256:ab", "", "get isis/ lab x@sha256:ab"),
        ("HEAD", "namespaces/lab/isis/x", "", "get isis/ lab x"),
        ("GET", "namespaces/lab/is", "", "list is/ lab "),
        ("GET", "namespaces/lab/is", "watch=1", "watch is/ lab "),
        ("GET", "namespaces/lab/is", "watch=false", "list is/ lab "),
        ("GET", "namespaces/lab/is/x", "watch=1", "get is/ lab x"),
        ("GET", "namespaces/lab/is", "fieldSelector=metadata.name%3Da", "list is/ lab a"),
        ("GET", "namespaces/lab/is", "fieldSelector=metadata.name%21%3Da", "list is/ lab "),
        ("GET", "watch/namespaces/lab/is/x", "", "watch is/ lab x"),
        ("POST", "watch/namespaces/lab/is", "", "watch is/ lab "),
        ("GET", "proxy/namespaces/lab/is/x/status", "", "proxy is/ lab x"),
        ("POST", "namespaces/lab/is", "", "create is/ lab "),
        ("PUT", "namespaces/lab/is/a/status", "", "update is/status lab a"),
        ("PATCH", "namespaces/lab/is/a", "", "patch is/ lab a"),
        ("DELETE", "namespaces/lab/is/a", "", "delete is/ lab a"),
        ("DELETE", "images", "", "deletecollection images/  "),
        ("OPTIONS", "namespaces/lab/is/a", "", " is/ lab a"),
        ("GET", "images/x/y/z/more", "", "get images/y  x"),
        ("GET", "namespaces/lab", "", "get namespaces/ lab lab"),
        ("PUT", "namespaces/lab/finalize", "", "update namespaces/finalize lab lab"),
        ("GET", "namespaces/lab/is/a%20b", "", "get is/ lab a b"),
    ] {
        let ResourceAction { verb, resource, subresource, namespace, name, .. } =
            action(method, path, query);
        let actual = format!("{verb} {resource}/{subresource} {namespace} {name}");
        assert_eq!(actual, expected, "{method} {path}?{query}");
    }
}

#[test]
fn readable_selectors_are_part_of_the_action() {
    let list = action(
        "GET",
        "is",
        "labelSelector=a%3Db,c,!d,e+notin+(f)&fieldSelector=metadata.name!%3Dx",
    );
    let texts = |requirements: &[Requirement]| -> Vec<String> {
        let values = |each: &Requirement| {
            each.values.as_ref().map_or(String::new(), |values| values.join("|"))
        };
        requirements
            .iter()
            .map(|each| format!("{} {} {}", each.key, each.operator, values(each)))
            .collect()
    };
    assert_eq!(texts(&list.labels), ["a In b", "c Exists ", "d DoesNotExist ", "e NotIn f"]);
    assert_eq!(texts(&list.fields), ["metadata.name NotIn x"]);
    assert!(action("GET", "is", "labelSelector=a+b").labels.is_empty());
}

#[test]
fn other_paths_are_no_resources() {
    for path in [
        "/",
        "/version",
        "/apis",
        "/apis/g.example/v1",
        "/apis/g.example/v1//",
        "/openapi/v3/apis/g.example/v1",
    ] {
        with_info("POST", path, "", |info| {
            assert!(info.resource().is_none(), "{path}");
            let expected = Attributes::Path { path: path.into(), verb: "post".into() };
            assert_eq!(info.attributes(), Some(expected));
        });
    }
}

#[test]
fn a_prefix_without_resource_has_no_attributes() {
    for path in ["/apis/g.example/v1/watch", "/apis/g.example/v1/watch/", "/api/v1/proxy"] {
        with_info("GET", path, "", |info| {
            assert!(info.resource().is_none() && info.attributes().is_none(), "{path}");
        });
    }
}

#[test]
fn a_resource_belongs_to_its_api_version() {
    for (path, expected) in [
        ("/apis/g.example/v1/images", true),
        ("/apis/g.example/v2/images", false),
        ("/apis/apps/v1/images", false),
        ("/api/v1/images", false),
        ("/version", false),
    ] {
        with_info("GET", path, "", |info| {
            assert_eq!(info.resource_of(API).is_some(), expected, "{path}")
        });
    }
}

#[test]
fn paths_are_decoded_and_final_slashes_ignored() {
    let owned = |namespace: &str, resource: &str, name: &str, subresource: &str| {
        (namespace.to_owned(), resource.to_owned(), name.to_owned(), subresource.to_owned())
    };
    assert_eq!(parts("namespaces/n/isis/a%40b%3ac//"), owned("n", "isis", "a@b:c", ""));
    assert_eq!(parts("namespaces/n/isis/a/status"), owned("n", "isis", "a", "status"));
    assert_eq!(parts("namespaces//isis"), owned("", "isis", "", ""));
    assert_eq!(parts("images/x"), owned("", "images", "x", ""));
    assert_eq!(parts("watch/namespaces/n/isis/a"), owned("n", "isis", "a", ""));
    assert_eq!(parts("namespaces%2Fn/isis"), owned("n", "isis", "", ""));
}

#[test]
fn unknown_forms_are_404() {
    for path in [
        "/namespaces/n/isis/x",
        "namespaces/n//isis/x",
        "images/x/y/z",
        "namespaces/n/i/a/b/c",
        "proxy/images/x",
    ] {
        assert_eq!(form_error(path), 404, "{path}");
    }
    for path in
        ["//apis/g.example/v1/images", "/apis/g.example/v%31/images", "/apis/g.example/v1%2Fimages"]
    {
        with_info("GET", path, "", |info| {
            let resource = info.resource_of(API).unwrap();
            assert_eq!(resource.check_form().unwrap_err().code, 404, "{path}");
        });
    }
}

#[test]
fn a_broken_escape_is_a_bad_request() {
    with_resource("GET", "images/x/y/z%zz", |info| {
        let status = info.check_form().unwrap_err();
        assert_eq!(status.code, 400);
        assert_eq!(status.message, "the path \"images/x/y/z%zz\" has a broken percent escape");
    });
}

#[test]
fn verbs_and_kinds_follow_from_the_method() {
    for (method, below, verb, kind) in [
        ("GET", "images", Some(Verb::List), RequestKind::ReadOnly),
        ("HEAD", "images/x", Some(Verb::Get), RequestKind::ReadOnly),
        ("OPTIONS", "images", None, RequestKind::ReadOnly),
        ("DELETE", "images", Some(Verb::DeleteCollection), RequestKind::Mutating),
        ("PURGE", "images", None, RequestKind::Mutating),
        ("GET", "proxy/images", None, RequestKind::ReadOnly),
    ] {
        with_info(method, &format!("/apis/g.example/v1/{below}"), "", |info| {
            assert_eq!(
                (info.resource().unwrap().verb, info.kind()),
                (verb, kind),
                "{method} {below}"
            );
        });
    }
}

/// Paths below the version made of parts that could be read in two ways.
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

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(2000))]

    /// The action to authorize names all of a routable path, and the object that handlers get.
    #[test]
    fn the_authorized_action_is_the_executed_one(
        below in odd_path(),
        method in proptest::sample::select(vec!["GET", "POST", "PUT", "DELETE"]),
    ) {
        let path = format!("/apis/g.example/v1/{below}");
        with_info(method, &path, "", |info| {
            let Some(resource) = info.resource_of(API).filter(|each| each.check_form().is_ok()) else {
                return Ok(());
            };
            let Some(Attributes::Resource(action)) = info.attributes() else {
                panic!("a resource has the attributes of one");
            };
            let at = resource.object_ref();
            prop_assert_eq!((&*action.namespace, &*action.name), (at.namespace(), at.name()));
            prop_assert_eq!((&*action.resource, &*action.subresource), (resource.resource, resource.subresource));
            prop_assert_eq!(&*action.verb, resource.verb.map_or("", Verb::name));
            let ResourceAction { namespace, resource: plural, name, subresource, .. } = &*action;
            let mut rest = info.path.trim_end_matches('/').strip_prefix("/apis/g.example/v1/").unwrap().to_owned();
            if resource.prefix == Some(PathPrefix::Watch) {
                rest = rest.strip_prefix("watch/").unwrap().to_owned();
            }
            let object = [plural, name, subresource].map(String::as_str).join("/");
            let object = object.trim_end_matches('/');
            let all = [object.to_owned(), format!("namespaces/{namespace}/{object}")];
            prop_assert!(all.contains(&rest), "{rest:?} is not {all:?}");
            Ok(())
        })?;
    }

    #[test]
    fn no_path_panics(path in ".*", query in ".*") {
        with_info("GET", &path, &query, |info| {
            info.attributes();
            info.resource().map(ResourceInfo::check_form)
        });
    }
}
