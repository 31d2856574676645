//! Tests of [`settle`].

use super::*;
use crate::api::{
    Image, ImageImportSpec, ImageManifest, ImageStreamImport, LocalObjectReference,
    RepositoryImportSpec, RepositoryImportStatus,
};
use crate::domain::import::ImportFailure;
use crate::domain::stream_strategy::{self, WriteTarget};
use crate::meta::Kind;

fn at(seconds: i64) -> SettleContext<'static> {
    SettleContext {
        max_history: MaxTagHistory(None),
        now: Time::from_unix_seconds(seconds),
        scope: SettleScope::All,
        mark: RepositoryMark::Set,
    }
}

/// An image of the repository `r.io/a`.
fn image(name: &str) -> Image {
    let mut image = Image { docker_image_reference: format!("r.io/a@{name}"), ..Image::default() };
    image.metadata.name = name.into();
    image
}

fn imported(tag: &str, name: &str) -> ImageImportStatus {
    ImageImportStatus {
        status: Status::success(),
        image: Some(image(name)),
        tag: tag.into(),
        ..ImageImportStatus::default()
    }
}

fn failed(tag: &str, text: &str) -> ImageImportStatus {
    let status = ImportFailure::Registry(text.into()).status("r.io/a:t");
    ImageImportStatus { status, tag: tag.into(), ..ImageImportStatus::default() }
}

/// An import of one image from `r.io/a:t` to a tag.
fn import(to: Option<&str>, result: ImageImportStatus) -> ImageStreamImport {
    let mut import = ImageStreamImport::default();
    let mut image = ImageImportSpec {
        to: to.map(|name| LocalObjectReference { name: name.into() }),
        ..ImageImportSpec::default()
    };
    image.from.kind = "DockerImage".into();
    image.from.name = "r.io/a:t".into();
    import.spec.images = vec![image];
    import.status.images = vec![result];
    import.default_fields();
    import
}

fn of_repository(results: Vec<ImageImportStatus>) -> ImageStreamImport {
    let mut import = ImageStreamImport::default();
    let mut repository = RepositoryImportSpec::default();
    repository.from.name = "r.io/a".into();
    import.spec.repository = Some(repository);
    let status = RepositoryImportStatus { images: results, ..RepositoryImportStatus::default() };
    import.status.repository = Some(status);
    import.default_fields();
    import
}

/// Settles an import, and completes the write as the strategy of tags does.
fn settled(old: Option<&ImageStream>, import: &ImageStreamImport, seconds: i64) -> ImageStream {
    let mut stream = old.cloned().unwrap_or_default();
    settle(&mut stream, &import.spec, &import.status, at(seconds));
    match old {
        Some(old) => stream_strategy::prepare_for_update(old, &mut stream, WriteTarget::Tag),
        None => {
            stream.metadata.generation = 1;
            stream.spec.tags.iter_mut().for_each(|tag| tag.generation = Some(1));
        }
    }
    stream
}

/// Returns images and generations of the events of a tag.
fn events<'a>(stream: &'a ImageStream, tag: &str) -> Vec<(&'a str, i64)> {
    let items = &tags::history(stream, tag).unwrap().items;
    items.iter().map(|event| (event.image.as_str(), event.generation)).collect()
}

#[test]
fn image_becomes_event_and_spec_tag() {
    let stream = settled(None, &import(Some("u"), imported("t", "i")), 5);
    assert_eq!(events(&stream, "u"), [("i", 1)]);
    let event = tags::latest_event(&stream, "u").unwrap();
    assert_eq!(event.docker_image_reference, "r.io/a@i");
    assert_eq!(event.created, Some(Time::from_unix_seconds(5)));
    let tag = &stream.spec.tags[0];
    assert_eq!((tag.name.as_str(), tag.generation), ("u", Some(1)));
    let from = tag.from.as_ref().unwrap();
    assert_eq!((from.kind.as_str(), from.name.as_str()), ("DockerImage", "r.io/a:t"));
    assert_eq!(stream.metadata.annotations[CHECKED], "1970-01-01T00:00:05Z");
}

#[test]
fn image_without_target_is_not_recorded() {
    let stream = settled(None, &import(None, imported("t", "i")), 5);
    assert!(stream.spec.tags.is_empty() && stream.status.tags.is_empty());
    assert!(stream.metadata.annotations.contains_key(CHECKED));
}

#[test]
fn repeated_import_changes_nothing() {
    let first = import(Some("u"), imported("t", "i"));
    let stream = settled(None, &first, 5);
    assert_eq!(settled(Some(&stream), &first, 6), stream);
    let failure = import(Some("v"), failed("t", "denied"));
    let stream = settled(Some(&stream), &failure, 7);
    assert_eq!(settled(Some(&stream), &failure, 8), stream);
}

#[test]
fn stream_without_annotation_gets_it() {
    let first = import(Some("u"), imported("t", "i"));
    let mut stream = settled(None, &first, 5);
    stream.metadata.annotations.clear();
    let again = settled(Some(&stream), &first, 6);
    assert_eq!(again.metadata.annotations[CHECKED], "1970-01-01T00:00:06Z");
    assert_eq!((&again.spec, &again.status), (&stream.spec, &stream.status));
}

#[test]
fn new_image_is_prepended_with_the_next_generation() {
    let stream = settled(None, &import(Some("u"), imported("t", "i")), 5);
    let mut next = import(Some("u"), imported("t", "j"));
    next.status.images[0].image.as_mut().unwrap().docker_image_reference = "r.io/b@j".into();
    let stream = settled(Some(&stream), &next, 6);
    assert_eq!(events(&stream, "u"), [("j", 2), ("i", 1)]);
    assert_eq!((stream.metadata.generation, stream.spec.tags[0].generation), (2, Some(2)));
}

#[test]
fn requested_import_confirms_the_same_image() {
    let first = import(Some("u"), imported("t", "i"));
    let mut stream = settled(None, &first, 5);
    stream.metadata.generation = 2;
    stream.spec.tags[0].generation = Some(2);
    let stream = settled(Some(&stream), &first, 6);
    assert_eq!(events(&stream, "u"), [("i", 3)]);
    assert_eq!((stream.metadata.generation, stream.spec.tags[0].generation), (3, Some(3)));
}

#[test]
fn policies_of_the_import_replace_those_of_the_tag() {
    let mut first = import(Some("u"), imported("t", "i"));
    first.spec.images[0].import_policy.scheduled = true;
    first.spec.images[0].reference_policy.r#type = "Local".into();
    let stream = settled(None, &first, 5);
    let second = import(Some("u"), imported("t", "i"));
    let stream = settled(Some(&stream), &second, 6);
    let tag = &stream.spec.tags[0];
    assert!(!tag.import_policy.scheduled, "the import does not set it");
    assert_eq!(tag.reference_policy.r#type, "Local", "the tag has one already");
    assert_eq!((stream.metadata.generation, tag.generation), (2, Some(1)));
    assert_eq!(events(&stream, "u"), [("i", 1)]);
}

#[test]
fn failure_becomes_condition_and_keeps_the_history() {
    let stream = settled(None, &import(Some("u"), imported("t", "i")), 5);
    let stream = settled(Some(&stream), &import(Some("u"), failed("t", "denied")), 6);
    let [condition] = &tags::history(&stream, "u").unwrap().conditions[..] else {
        panic!("one condition: {stream:?}");
    };
    assert_eq!((condition.r#type.as_str(), condition.status.as_str()), ("ImportSuccess", "False"));
    assert_eq!(condition.reason, "InternalError");
    assert_eq!(condition.message, "Internal error occurred: r.io/a:t: denied");
    assert_eq!((condition.generation, stream.spec.tags[0].generation), (2, Some(2)));
    assert_eq!(events(&stream, "u"), [("i", 1)]);
    let stream = settled(Some(&stream), &import(Some("u"), imported("t", "i")), 7);
    assert!(tags::history(&stream, "u").unwrap().conditions.is_empty());
    assert_eq!(events(&stream, "u"), [("i", 3)], "the failure raised the generation of the tag");
}

#[test]
fn failed_image_gets_a_spec_tag_failed_repository_tag_none() {
    let stream = settled(None, &import(Some("u"), failed("t", "denied")), 5);
    assert_eq!(stream.spec.tags[0].name, "u");
    assert_eq!(tags::history(&stream, "u").unwrap().conditions.len(), 1);
    let results = vec![imported("t", "i"), failed("x", "denied")];
    let stream = settled(None, &of_repository(results), 5);
    let names: Vec<_> = stream.spec.tags.iter().map(|tag| tag.name.as_str()).collect();
    assert_eq!(names, ["t"]);
    assert_eq!(stream.spec.tags[0].from.as_ref().unwrap().name, "r.io/a:t");
    assert_eq!(tags::history(&stream, "x").unwrap().conditions.len(), 1);
}

#[test]
fn listing_failure_only_annotates_the_stream() {
    let stream = settled(None, &of_repository(vec![]), 5);
    assert!(stream.spec.tags.is_empty() && stream.status.tags.is_empty());
    assert!(stream.metadata.annotations.contains_key(CHECKED));
}

#[test]
fn images_of_an_import_are_proved() {
    let mut result = imported("t", "list");
    let part = |digest: &str| ImageManifest { digest: digest.into(), ..ImageManifest::default() };
    result.image.as_mut().unwrap().docker_image_manifests = vec![part("a"), part("nested")];
    result.manifests = vec![image("a")];
    let unproved = [("list", "uid"), ("a", "uid")].map(|(k, v)| (k.into(), v.into())).into();
    let old = ImageStream { unproved, ..ImageStream::default() };
    let stream = settled(Some(&old), &import(Some("u"), result), 5);
    let withheld: Vec<_> = unproved::withheld(&stream).collect();
    assert_eq!((withheld, stream.unproved.len()), (vec!["nested"], 1));
}

#[test]
fn last_of_several_results_for_a_tag_wins() {
    let mut twice = import(Some("u"), imported("t", "i"));
    let again = import(Some("u"), imported("t", "j"));
    twice.spec.images.extend(again.spec.images);
    twice.status.images.extend(again.status.images);
    let stream = settled(None, &twice, 5);
    assert_eq!(events(&stream, "u"), [("j", 1), ("i", 1)]);
}

#[test]
fn equal_failure_follows_the_generation_of_its_tag() {
    let failure = import(Some("u"), failed("t", "denied"));
    let mut stream = settled(None, &failure, 5);
    stream.metadata.generation = 4;
    stream.spec.tags[0].generation = Some(4);
    let again = settled(Some(&stream), &failure, 6);
    let condition = &tags::history(&again, "u").unwrap().conditions[0];
    assert_eq!((condition.generation, again.spec.tags[0].generation), (4, Some(4)));
    assert_eq!(condition.last_transition_time, Some(Time::from_unix_seconds(5)));
}

#[test]
fn results_for_changed_tags_do_not_count() {
    let before = settled(None, &import(Some("u"), imported("t", "i")), 5);
    let result = import(Some("u"), imported("t", "j"));
    let mut changed = before.clone();
    changed.spec.tags[0].from.as_mut().unwrap().name = "r.io/a:other".into();
    let context = SettleContext { scope: SettleScope::UnchangedSince(&before), ..at(6) };
    let settle = |stream: &ImageStream| {
        let mut stream = stream.clone();
        settle(&mut stream, &result.spec, &result.status, context);
        stream
    };
    assert_eq!(settle(&changed), changed);
    assert_eq!(tags::latest_event(&settle(&before), "u").unwrap().image, "j");
    let deleted = ImageStream { spec: Default::default(), ..before.clone() };
    assert_eq!(settle(&deleted), deleted);
}

#[test]
fn pending_repository_stays_unmarked() {
    let context = SettleContext { mark: RepositoryMark::KeepPending, ..at(5) };
    let import = import(Some("u"), imported("t", "i"));
    let settled = |mut stream: ImageStream| {
        settle(&mut stream, &import.spec, &import.status, context);
        assert!(tags::latest_event(&stream, "u").is_some());
        stream.metadata.annotations.contains_key(CHECKED)
    };
    let mut pending = ImageStream::default();
    assert!(settled(pending.clone()));
    pending.spec.docker_image_repository = "r.io/b".into();
    assert!(!settled(pending.clone()));
    pending.metadata.annotations.insert(CHECKED.into(), "before".into());
    assert!(settled(pending));
}
