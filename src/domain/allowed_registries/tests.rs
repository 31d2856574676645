//! Tests of [`AllowedRegistries`].

use proptest::prelude::*;

use super::*;
use crate::api::{ImageImportSpec, NamedTagEventList, RepositoryImportSpec, TagEvent};

fn allowed(entries: &[&str]) -> AllowedRegistries {
    let entries = entries.iter().map(|entry| entry.parse().unwrap()).collect();
    AllowedRegistries::new(entries, Some("in.svc:5000"))
}

fn recorded() -> AllowedRegistries {
    allowed(&["quay.io", "*.ok.example:5000", "plain.example:80"])
}

const LIST: &str = r#""in.svc:5000", "quay.io:443", "*.ok.example:5000", "plain.example:80""#;

fn tag(from: &str, insecure: bool) -> TagReference {
    let from = ObjectReference {
        kind: "DockerImage".into(),
        name: from.into(),
        ..ObjectReference::default()
    };
    let mut tag = TagReference { name: "t".into(), from: Some(from), ..TagReference::default() };
    tag.import_policy.insecure = insecure;
    tag
}

fn stream(from: &str, insecure: bool) -> ImageStream {
    let mut stream = ImageStream::default();
    stream.spec.tags = vec![tag(from, insecure)];
    stream
}

fn refused(from: &str, insecure: bool) -> bool {
    !recorded().stream_errors(None, &stream(from, insecure)).is_empty()
}

#[test]
fn host_and_port_must_match_an_entry() {
    for from in ["quay.io/a", "quay.io:443/a", "x.ok.example:5000/a", "in.svc:5000/ns/s"] {
        assert!(!refused(from, false), "{from}");
    }
    for from in ["quay.io:80/a", "x.ok.example/a", "plain.example/a", "busybox", "docker.io/a/b"] {
        assert!(refused(from, false), "{from}");
    }
    assert!(!refused("plain.example/a", true), "without TLS the port may be 80");
    let mut annotated = stream("plain.example/a", false);
    annotated.metadata.annotations.insert(INSECURE.into(), "true".into());
    assert!(recorded().stream_errors(None, &annotated).is_empty());
}

#[test]
fn errors_list_the_allowed_registries() {
    let text = |from: &str| field::join(&recorded().stream_errors(None, &stream(from, false)));
    let expected = |registry: &str| {
        format!(
            "spec.tags[t].from.name: Forbidden: registry \"{registry}\" not allowed by whitelist: {LIST}"
        )
    };
    assert_eq!(text("quay.io:80/a"), expected("quay.io:80"));
    assert_eq!(text("busybox"), expected("docker.io:443"));
    assert_eq!(text("docker.io/a/b"), expected("docker.io"));
    let many = allowed(&["a", "b", "c", "d", "e"]);
    let text = field::join(&many.stream_errors(None, &stream("x.io/a", false)));
    assert!(text.ends_with(r#""a:443", "b:443", "c:443", and 2 more ..."#), "{text}");
}

#[test]
fn docker_hub_has_several_names() {
    let hub = allowed(&["docker.io"]);
    for from in ["busybox", "docker.io/a", "index.docker.io/a", "registry-1.docker.io/a/b"] {
        assert!(hub.stream_errors(None, &stream(from, false)).is_empty(), "{from}");
    }
}

#[test]
fn everything_is_allowed_without_a_list() {
    let all = allowed(&[]);
    assert!(all.is_unrestricted());
    assert!(all.stream_errors(None, &stream("x.io/a", false)).is_empty());
}

fn with_event(reference: &str) -> ImageStream {
    let event = TagEvent { docker_image_reference: reference.into(), ..TagEvent::default() };
    let mut stream = ImageStream::default();
    stream.status.tags = vec![NamedTagEventList {
        tag: "t".into(),
        items: vec![event].into(),
        ..NamedTagEventList::default()
    }];
    stream
}

#[test]
fn known_repositories_are_not_checked() {
    let old = with_event("x.io/a:1");
    assert!(recorded().stream_errors(Some(&old), &stream("x.io/a:2", false)).is_empty());
    assert!(!recorded().stream_errors(Some(&old), &stream("x.io/b", false)).is_empty());
    let text = field::join(&recorded().status_errors(&stream("x.io/a", false), &old));
    assert_eq!(text, "[]");
    let text = field::join(&recorded().status_errors(&ImageStream::default(), &old));
    assert!(
        text.starts_with("status.tags[t].items[0].dockerImageReference: Forbidden: "),
        "{text}"
    );
}

#[test]
fn tag_is_checked_alone() {
    let error = recorded().tag_error(None, &ObjectMeta::default(), &tag("x.io/a", false));
    assert_eq!(error.unwrap().field, "from.name");
    let old = with_event("x.io/a:1");
    let known = recorded().tag_error(Some(&old), &ObjectMeta::default(), &tag("x.io/a", false));
    assert_eq!(known, None);
}

#[test]
fn all_imports_are_allowed_without_a_list() {
    let mut image = ImageImportSpec::default();
    image.from.name = "quay.io/a/b:1".into();
    let mut import = ImageStreamImport::default();
    import.spec.images = vec![image];
    assert!(allowed(&[]).import_errors(&import).is_empty());
    assert!(!allowed(&["r.io"]).import_errors(&import).is_empty());
}

#[test]
fn import_names_host_and_port() {
    let text = |from: &str, insecure: bool| {
        let mut image = ImageImportSpec::default();
        image.from.name = from.into();
        image.import_policy.insecure = insecure;
        let mut import = ImageStreamImport::default();
        import.spec.images = vec![image];
        field::join(&recorded().import_errors(&import))
    };
    let expected = |host: &str| {
        format!(
            "spec.images[0].from.name: Forbidden: importing images from registry \"{host}\" is \
             forbidden: registry \"{host}\" not allowed by whitelist: {LIST}"
        )
    };
    assert_eq!(text("x.io/a", false), expected("x.io:443"));
    assert_eq!(text("x.io/a", true), expected("x.io:80"));
    assert_eq!(text("busybox", false), expected("docker.io:443"));
    assert_eq!(text("docker.io/busybox", false), expected("registry-1.docker.io:443"));
    assert_eq!(text("quay.io/a", false), "[]");
    assert_eq!(text("plain.example/a", true), "[]");
    let mut import = ImageStreamImport::default();
    let mut repository = RepositoryImportSpec::default();
    repository.from.name = "x.io/a".into();
    import.spec.repository = Some(repository);
    let text = field::join(&recorded().import_errors(&import));
    assert!(text.starts_with("spec.repository.from.name: Forbidden: "), "{text}");
}

#[test]
fn entry_is_a_host_with_an_optional_port() {
    for bad in ["", ":5000", "a:", "a:b:c", "a b", "http://a", "a/b"] {
        assert_eq!(bad.parse::<AllowedRegistry>(), Err(ParseAllowedRegistryError), "{bad}");
    }
    for good in ["a", "*", "*.a.b:5000", "a?:*"] {
        assert!(good.parse::<AllowedRegistry>().is_ok(), "{good}");
    }
}

#[test]
fn patterns_match_whole_texts() {
    for (pattern, text) in
        [("*", ""), ("*.b", "a.c.b"), ("a*c*e", "abcde"), ("?b", "ab"), ("a**", "a")]
    {
        assert!(is_match(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [("", "a"), ("*.b", "b"), ("a*c", "acd"), ("?", ""), ("a", "ab")] {
        assert!(!is_match(pattern, text), "{pattern} {text}");
    }
}

proptest! {
    #[test]
    fn star_matches_any_infix(start in "[a-c]{0,4}", middle in "[a-c.]{0,6}", end in "[a-c]{0,4}") {
        let pattern = format!("{start}*{end}");
        let text = format!("{start}{middle}{end}");
        prop_assert!(is_match(&pattern, &text));
    }
}
