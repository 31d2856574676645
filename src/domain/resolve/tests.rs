//! Tests of the resolution of spec tags.

mod standing;

use super::*;
use crate::api::NamedTagEventList;

const NOW: i64 = 1_000_000;

fn stream(name: &str, tags: &[(&str, &str, &str)]) -> ImageStream {
    let mut stream = ImageStream::default();
    stream.metadata.namespace = "ns".into();
    stream.metadata.name = name.into();
    for (tag, kind, from) in tags {
        set_tag(&mut stream, tag, kind, from);
    }
    stream
}

/// Sets a spec tag. Kinds are `docker`, `ref` (a reference), `tag` and `image`, optionally followed
/// by `@namespace`.
fn set_tag<'a>(
    stream: &'a mut ImageStream,
    tag: &str,
    kind: &str,
    from: &str,
) -> &'a mut TagReference {
    let (kind, namespace) = kind.split_once('@').unwrap_or((kind, ""));
    let full = match kind {
        "docker" | "ref" => "DockerImage",
        "tag" => "ImageStreamTag",
        "image" => "ImageStreamImage",
        other => other,
    };
    let from = ObjectReference {
        kind: full.into(),
        namespace: namespace.into(),
        name: from.into(),
        ..ObjectReference::default()
    };
    let mut spec_tag =
        TagReference { name: tag.into(), from: Some(from), ..TagReference::default() };
    spec_tag.reference = kind == "ref";
    spec_tag.default_fields();
    let at = match tags::spec_tag_index(&stream.spec.tags, tag) {
        Ok(at) => {
            spec_tag.generation = stream.spec.tags[at].generation;
            stream.spec.tags[at] = spec_tag;
            at
        }
        Err(at) => {
            stream.spec.tags.insert(at, spec_tag);
            at
        }
    };
    &mut stream.spec.tags[at]
}

fn event(image: &str, generation: i64) -> TagEvent {
    TagEvent {
        created: Some(Time::from_unix_seconds(generation)),
        docker_image_reference: format!("r.io/{image}"),
        image: image.into(),
        generation,
    }
}

fn with_history(mut stream: ImageStream, tag: &str, items: &[TagEvent]) -> ImageStream {
    let list =
        NamedTagEventList { tag: tag.into(), items: items.to_vec().into(), conditions: vec![] };
    let at = tags::history_index(&stream.status.tags, tag).unwrap_err();
    stream.status.tags.insert(at, list);
    stream
}

fn registries() -> Registries {
    Registries { internal: Some("in:5000".into()), ..Registries::default() }
}

/// Writes `new` over `old` and returns the error.
fn write(
    old: Option<&ImageStream>,
    new: &mut ImageStream,
    target: WriteTarget,
    others: &SourceStreams,
) -> String {
    match old {
        None => stream_strategy::prepare_for_create(new),
        Some(old) => stream_strategy::prepare_for_update(old, new, target),
    }
    assert!(
        required_streams(old, new).iter().all(|key| others.0.contains_key(key)),
        "a stream is missing"
    );
    let registries = registries();
    let now = Time::from_unix_seconds(NOW);
    let resolution = Resolution {
        old,
        others,
        registries: &registries,
        max_history: MaxTagHistory(None),
        target,
        now,
    };
    let errors = resolution.run(new);
    internal_error(new, &errors).map(|error| error.to_string()).unwrap_or_default()
}

fn created(mut new: ImageStream, others: &SourceStreams) -> ImageStream {
    assert_eq!(write(None, &mut new, WriteTarget::Stream, others), "");
    new
}

fn refused(mut new: ImageStream, others: &SourceStreams) -> String {
    let prefix = format!("[]: Internal error: imagestreams \"{}\" is invalid: ", new.metadata.name);
    let text = write(None, &mut new, WriteTarget::Stream, others);
    text.strip_prefix(&prefix).unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn others(all: &[(&str, &str, Option<ImageStream>)]) -> SourceStreams {
    let mut others = SourceStreams::default();
    for (namespace, name, found) in all {
        let key = StreamKey { namespace: (*namespace).into(), name: (*name).into() };
        others.insert(
            key,
            found
                .clone()
                .map_or(SourceStream::Missing, |stream| SourceStream::Found(Arc::new(stream))),
        );
    }
    others
}

/// Formats the history of all tags as `tag=image@generation,…`.
fn history(stream: &ImageStream) -> String {
    let item = |event: &TagEvent| {
        let what =
            if event.image.is_empty() { &event.docker_image_reference } else { &event.image };
        format!("{what}@{}", event.generation)
    };
    let tag = |tag: &NamedTagEventList| {
        format!("{}={}", tag.tag, tag.items.iter().map(item).collect::<Vec<_>>().join(","))
    };
    stream.status.tags.iter().map(tag).collect::<Vec<_>>().join(" ")
}

#[test]
fn external_image_needs_a_reference_tag() {
    let new = created(
        stream("s", &[("d", "docker", "a/b:1"), ("r", "ref", "a/b:1")]),
        &SourceStreams::default(),
    );
    assert_eq!(history(&new), "r=a/b:1@1");
    assert_eq!(new.status.tags[0].items[0].created, Some(Time::from_unix_seconds(NOW)));
}

#[test]
fn changed_reference_overwrites_the_event() {
    let old = created(stream("s", &[("r", "ref", "a/b:1")]), &SourceStreams::default());
    let mut new = old.clone();
    set_tag(&mut new, "r", "ref", "a/b:2");
    assert_eq!(write(Some(&old), &mut new, WriteTarget::Stream, &SourceStreams::default()), "");
    assert_eq!(history(&new), "r=a/b:2@2");
}

#[test]
fn tags_are_resolved_after_their_source_tags() {
    let tags = [
        ("a", "tag", "b"),
        ("b", "tag", "s:c"),
        ("c", "ref", "x"),
        ("d", "tag", "nosuch"),
        ("e", "tag@ns", "c"),
    ];
    assert_eq!(
        history(&created(stream("s", &tags), &SourceStreams::default())),
        "a=x@1 b=x@1 c=x@1 e=x@1"
    );
}

#[test]
fn tags_in_a_cycle_get_no_events() {
    let tags = [("a", "tag", "b"), ("b", "tag", "a"), ("c", "tag", "c")];
    assert_eq!(history(&created(stream("s", &tags), &SourceStreams::default())), "");
}

#[test]
fn newest_event_of_source_tag_is_copied_with_time() {
    let source = with_history(stream("src", &[]), "latest", &[event("i2", 7), event("i1", 3)]);
    let others = others(&[("ns", "src", Some(source))]);
    let tags = [("no", "tag", "src:nosuch"), ("t", "tag", "src:latest"), ("u", "tag", "src:")];
    let new = created(stream("s", &tags), &others);
    assert_eq!(history(&new), "t=i2@1 u=i2@1");
    assert_eq!(new.status.tags[0].items[0].created, Some(Time::from_unix_seconds(7)));
}

#[test]
fn source_image_is_found_by_prefix() {
    let (one, two) = (format!("sha256:1{}", "a".repeat(63)), format!("sha256:1{}", "b".repeat(63)));
    let source = with_history(stream("src", &[]), "t", &[event(&one, 7), event(&two, 3)]);
    let others = others(&[("ns", "src", Some(source))]);
    let new = created(stream("s", &[("t", "image", "src@1a")]), &others);
    assert_eq!(history(&new), format!("t={one}@1"));
    assert_eq!(new.status.tags[0].items[0].created, Some(Time::from_unix_seconds(NOW)));
    let of = |id: &str| refused(stream("s", &[("t", "image", &format!("src@{id}"))]), &others);
    assert_eq!(
        of("zzz"),
        "spec.tags[t].from.name: Invalid value: \"src@zzz\": error generating tag event: imagestreamimage.\
        image.openshift.io \"zzz\" not found"
    );
    assert_eq!(
        of("sha256:"),
        format!(
            "spec.tags[t].from.name: Invalid value: \"src@sha256:\": error generating tag event: Operation cannot be \
            fulfilled on imagestreamimage.image.openshift.io \"sha256:\": multiple images match the prefix \"sha256:\": \
            {one}, {two}"
        )
    );
}

#[test]
fn pull_spec_is_that_of_the_oldest_event() {
    let name = format!("sha256:{}", "a".repeat(64));
    let at = |registry: &str| TagEvent {
        docker_image_reference: format!("{registry}/x"),
        ..event(&name, 1)
    };
    let source = with_history(stream("src", &[]), "t", &[at("new.io"), at("mid.io"), at("old.io")]);
    let others = others(&[("ns", "src", Some(source))]);
    let new = created(stream("s", &[("t", "image", "src@sha256:a")]), &others);
    assert_eq!(new.status.tags[0].items[0].docker_image_reference, "old.io/x");
}

#[test]
fn invalid_source_is_an_error() {
    let others = others(&[("ns", "x", None)]);
    let of = |kind: &str, from: &str| refused(stream("s", &[("t", kind, from)]), &others);
    assert_eq!(of("tag", "x:y"), "spec.tags[t].from.name: Not found: \"x:y\"");
    let form = "must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>";
    for (kind, from) in [("tag", "a:b:c"), ("Pod", "x"), ("docker", ""), ("docker@other", "x")] {
        assert_eq!(
            of(kind, from),
            format!("spec.tags[t].from.name: Invalid value: \"{from}\": {form}")
        );
    }
    let unreadable = "unable to retrieve image stream: Name parameter";
    let text = of("tag", ":a");
    assert_eq!(
        text,
        format!("spec.tags[t].from.name: Invalid value: \":a\": {unreadable} required.")
    );
    assert!(of("tag", "..:a").ends_with(&format!("{unreadable} invalid: \"..\": may not be '..'")));
}

#[test]
fn denied_source_stream_reveals_nothing() {
    let mut others = SourceStreams::default();
    for (name, reason) in [("src", ""), ("why", "no rule")] {
        let key = StreamKey { namespace: "far".into(), name: name.into() };
        others.insert(key, SourceStream::Denied { reason: reason.into() });
    }
    let tags = [("a", "tag@far", "src:t"), ("b", "image@far", "src@1"), ("c", "tag@far", "why:t")];
    assert_eq!(
        refused(stream("s", &tags), &others),
        "[spec.tags[a].from: Forbidden: far/src: \"\" \"\", spec.tags[b].from: Forbidden: far/src: \"\" \"\", \
        spec.tags[c].from: Forbidden: far/why: \"no rule\" \"\"]"
    );
}

#[test]
fn only_streams_of_changed_tags_are_required() {
    let mut old = stream("s", &[("a", "tag", "x:1"), ("b", "image@far", "y@1")]);
    stream_strategy::prepare_for_create(&mut old);
    let mut new = old.clone();
    set_tag(&mut new, "c", "tag", "z:1");
    set_tag(&mut new, "d", "image@ns", "z@1");
    set_tag(&mut new, "e", "tag", "a");
    set_tag(&mut new, "f", "docker", "q");
    set_tag(&mut new, "g", "tag@far", ":a");
    new.spec.tags[0].annotations = Some([("k".to_owned(), "v".to_owned())].into());
    let names = |keys: BTreeSet<StreamKey>| -> Vec<String> {
        keys.into_iter().map(|key| format!("{}/{}", key.namespace, key.name)).collect()
    };
    assert_eq!(names(required_streams(Some(&old), &new)), ["ns/z"]);
    assert_eq!(names(required_streams(None, &old)), ["far/y", "ns/x"]);
}

#[test]
fn internal_images_are_pulled_through_own_stream() {
    let id = format!("sha256:{}", "a".repeat(64));
    let event = |repository: &str| TagEvent {
        docker_image_reference: format!("{repository}@{id}"),
        image: id.clone(),
        ..TagEvent::default()
    };
    let source = with_history(stream("src", &[]), "else", &[event("in:5000/ns/third")]);
    let source = with_history(source, "in", &[event("in:5000/ns/src")]);
    let others = others(&[("ns", "src", Some(source))]);
    let mut new =
        stream("s", &[("a", "tag", "src:in"), ("b", "tag", "src:else"), ("c", "tag", "src:in")]);
    new.spec.tags[2].reference = true;
    let new = created(new, &others);
    let references: Vec<&str> = new
        .status
        .tags
        .iter()
        .map(|tag| tag.items[0].docker_image_reference.split('@').next().unwrap())
        .collect();
    assert_eq!(references, ["in:5000/ns/s", "in:5000/ns/third", "in:5000/ns/src"]);
}

#[test]
fn tag_writes_propagate_and_stream_writes_do_not() {
    let tags = [
        ("base", "ref", "x:1"),
        ("t1", "tag", "base"),
        ("t2", "tag", "s:t1"),
        ("t3", "docker", "q"),
    ];
    let old = created(stream("s", &tags), &SourceStreams::default());
    assert_eq!(history(&old), "base=x:1@1 t1=x:1@1 t2=x:1@1");
    for (target, then) in [
        (WriteTarget::Stream, "base=x:2@2 t1=x:1@1 t2=x:1@1"),
        (WriteTarget::Tag, "base=x:2@2 t1=x:2@2 t2=x:2@2"),
    ] {
        let mut new = old.clone();
        set_tag(&mut new, "base", "ref", "x:2");
        assert_eq!(write(Some(&old), &mut new, target, &SourceStreams::default()), "");
        assert_eq!(history(&new), then, "{target:?}");
    }
}

#[test]
fn tracking_tag_does_not_change_its_source() {
    let old = with_history(
        created(stream("s", &[]), &SourceStreams::default()),
        "latest",
        &[event("i", 1)],
    );
    let mut new = old.clone();
    set_tag(&mut new, "b", "tag", "latest");
    assert_eq!(write(Some(&old), &mut new, WriteTarget::Tag, &SourceStreams::default()), "");
    assert_eq!(history(&new), "b=i@2 latest=i@1");
}

#[test]
fn unchanged_tag_is_not_resolved_again() {
    let old_source =
        others(&[("ns", "src", Some(with_history(stream("src", &[]), "t", &[event("i1", 1)])))]);
    let old = created(stream("s", &[("a", "tag", "src:t")]), &old_source);
    let nothing = SourceStreams::default();
    let mut new = old.clone();
    new.spec.tags[0].annotations = Some([("k".to_owned(), "v".to_owned())].into());
    assert_eq!(write(Some(&old), &mut new, WriteTarget::Stream, &nothing), "");
    assert_eq!(
        (history(&new).as_str(), new.metadata.generation, new.spec.tags[0].generation),
        ("a=i1@1", 2, Some(1))
    );
    // A generation of 0 requests a new import. Source streams do not matter for it.
    let mut again = new.clone();
    again.spec.tags[0].generation = Some(0);
    assert_eq!(write(Some(&new), &mut again, WriteTarget::Stream, &nothing), "");
    assert_eq!(
        (history(&again).as_str(), again.metadata.generation, again.spec.tags[0].generation),
        ("a=i1@1", 3, Some(3))
    );
}

#[test]
fn limit_truncates_only_the_changed_history() {
    let source =
        others(&[("ns", "src", Some(with_history(stream("src", &[]), "t", &[event("i9", 9)])))]);
    let long = [event("i3", 3), event("i2", 2), event("i1", 1)];
    let old =
        with_history(with_history(created(stream("s", &[]), &source), "a", &long), "b", &long);
    let mut new = old.clone();
    set_tag(&mut new, "b", "tag", "src:t");
    stream_strategy::prepare_for_update(&old, &mut new, WriteTarget::Tag);
    let max_history = MaxTagHistory(std::num::NonZeroUsize::new(2));
    let (registries, now) = (registries(), Time::from_unix_seconds(NOW));
    let resolution = Resolution {
        old: Some(&old),
        others: &source,
        registries: &registries,
        max_history,
        target: WriteTarget::Tag,
        now,
    };
    assert!(resolution.run(&mut new).is_empty());
    assert_eq!(history(&new), "a=i3@3,i2@2,i1@1 b=i9@2,i3@3");
}

/// Resolves many tags that track each other in the worst order, and many ambiguous images.
/// Quadratic algorithms exceed the deadline.
#[test]
fn many_tags_are_resolved_within_the_deadline() {
    const MANY: usize = 20_000;
    let name = |at: usize| format!("t{at:06}");
    let mut chain = stream("s", &[]);
    chain.spec.tags = (0..MANY)
        .map(|at| {
            let (kind, from) =
                if at + 1 == MANY { ("ref", "x".into()) } else { ("tag", name(at + 1)) };
            let mut one = ImageStream::default();
            set_tag(&mut one, &name(at), kind, &from).clone()
        })
        .collect();
    let start = std::time::Instant::now();
    let new = created(chain, &SourceStreams::default());
    assert_eq!(new.status.tags.len(), MANY);

    let items: Vec<TagEvent> = (0..MANY).map(|at| event(&format!("sha256:{at:064x}"), 1)).collect();
    let source = others(&[("ns", "src", Some(with_history(stream("src", &[]), "t", &items)))]);
    let mut ambiguous = stream("s", &[]);
    ambiguous.spec.tags = (0..MANY)
        .map(|at| set_tag(&mut ImageStream::default(), &name(at), "image", "src@sha256:").clone())
        .collect();
    assert!(refused(ambiguous, &source).contains("and 19990 more"));
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}
