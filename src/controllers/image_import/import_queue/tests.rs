//! Tests of [`ImportQueue`].

use super::*;
use crate::api::{NamedTagEventList, ObjectReference, TagEvent};
use crate::domain::import::FailureClass;
use crate::meta::Status;
use crate::resources::import::{FailedAttempt, FailureDetails, TargetOutcome};

const SECOND: Duration = Duration::from_secs(1);
const SLOTS: SlotLimits =
    SlotLimits { total: 8, namespace: 8, registry: 8, probation: 8, namespace_probation: 8 };

fn queue() -> ImportQueue {
    let limits = QueueLimits { slots: SLOTS, namespace_targets: 100 };
    ImportQueue::new(RetryPolicy::with_interval(900 * SECOND), limits, fastrand::Rng::with_seed(7))
}

/// A stream of the namespace `ns` with these tags and their sources, all of generation 1.
fn stream(name: &str, tags: &[(&str, &str)]) -> ImageStream {
    let mut stream = ImageStream::default();
    stream.metadata.namespace = "ns".into();
    stream.metadata.name = name.into();
    stream.metadata.uid = "uid".into();
    for (tag, source) in tags {
        let (kind, name) = ("DockerImage".into(), (*source).into());
        let from = Some(ObjectReference { kind, name, ..ObjectReference::default() });
        let mut tag = TagReference { name: (*tag).into(), from, ..TagReference::default() };
        tag.generation = Some(1);
        tag.import_policy.scheduled = true;
        stream.spec.tags.push(tag);
    }
    stream
}

/// The stream after the imports of all its tags.
fn imported(mut stream: ImageStream) -> ImageStream {
    for tag in &stream.spec.tags {
        let items = vec![TagEvent { generation: 1, ..TagEvent::default() }];
        let (tag, conditions) = (tag.name.clone(), vec![]);
        stream.status.tags.push(NamedTagEventList { tag, items: items.into(), conditions });
    }
    stream
}

fn results(import: &QueuedImport, outcome: &TargetOutcome) -> Vec<TargetResult> {
    let result = |attempt: &TargetAttempt| TargetResult {
        uid: String::new(),
        target: attempt.target.clone(),
        need: None,
        source: String::new(),
        generation: 1,
        outcome: outcome.clone(),
    };
    import.targets.iter().map(result).collect()
}

fn all(queue: &mut ImportQueue, now: Instant) -> Vec<QueuedImport> {
    std::iter::from_fn(|| queue.pop(now)).collect()
}

#[test]
fn tags_of_one_registry_are_imported_together() {
    let (mut queue, now) = (queue(), Instant::now());
    let tags = [("a", "r.io/x:1"), ("b", "r.io/x:2"), ("c", "other.io/x:1")];
    queue.observe(&stream("s", &tags), ObservationKind::Written, now);
    let imports = all(&mut queue, now);
    let sizes: BTreeMap<&str, usize> =
        imports.iter().map(|it| (&*it.unit.registry, it.targets.len())).collect();
    assert_eq!(sizes, [("other.io", 1), ("r.io", 2)].into());
    assert_eq!((queue.targets(), queue.next_due()), (3, None));
}

#[test]
fn imported_tags_wait_for_their_next_check() {
    let (mut queue, now) = (queue(), Instant::now());
    let before = stream("s", &[("a", "r.io/x:1")]);
    queue.observe(&before, ObservationKind::Written, now);
    let import = queue.pop(now).unwrap();
    let done = results(&import, &TargetOutcome::Imported { image: "i".into() });
    let finished = queue.finish(&import.unit, &done, RegistryHealth::Responding, now);
    queue.observe(&imported(before), ObservationKind::Written, now);
    let due = queue.next_due().unwrap() - now;
    assert!(due >= 720 * SECOND && due <= 1080 * SECOND, "{due:?}");
    assert_eq!(finished[0].next, Some(due));
    assert!(queue.pop(now).is_none());
    assert_eq!(queue.pop(now + due).unwrap().unit, import.unit);
}

#[test]
fn many_tags_are_imported_in_parts() {
    let (mut queue, now) = (queue(), Instant::now());
    let names: Vec<String> = (0..70).map(|at| format!("t{at}")).collect();
    let tags: Vec<_> = names.iter().map(|name| (name.as_str(), "r.io/x:1")).collect();
    queue.observe(&stream("s", &tags), ObservationKind::Written, now);
    let first = queue.pop(now).unwrap();
    assert_eq!(first.targets.len(), 50);
    assert!(queue.pop(now).is_none(), "a unit is imported once at a time");
    let done = results(&first, &TargetOutcome::Unchanged);
    queue.finish(&first.unit, &done, RegistryHealth::Responding, now);
    assert_eq!(queue.pop(now).unwrap().targets.len(), 20);
}

#[test]
fn deleted_streams_are_forgotten() {
    let (mut queue, now) = (queue(), Instant::now());
    let (a, b) = (stream("a", &[("t", "r.io/x:1")]), stream("b", &[("t", "r.io/x:1")]));
    queue.observe(&a, ObservationKind::Written, now);
    queue.observe(&b, ObservationKind::Written, now);
    let running = queue.pop(now).unwrap();
    queue.forget(&StreamKey::of(&a));
    queue.forget(&StreamKey::of(&b));
    assert!(queue.pop(now).is_none());
    let done = results(&running, &TargetOutcome::Superseded);
    let finished = queue.finish(&running.unit, &done, RegistryHealth::Unknown, now);
    assert_eq!(finished[0].next, None);
    assert!(queue.pop(now).is_none());
    assert!(queue.targets() == 0 && queue.streams.is_empty() && queue.next_due().is_none());
}

#[test]
fn recreated_stream_is_imported_anew() {
    let (mut queue, now) = (queue(), Instant::now());
    let old = stream("a", &[("t", "r.io/x:1")]);
    queue.observe(&imported(old.clone()), ObservationKind::Written, now);
    queue.forget(&StreamKey::of(&old));
    let mut new = old;
    new.metadata.uid = "other".into();
    queue.observe(&new, ObservationKind::Written, now);
    assert!(queue.pop(now).is_some());
}

#[test]
fn namespace_has_a_limit_on_targets() {
    let (mut queue, now) = (queue(), Instant::now());
    let tags: Vec<_> = (0..60).map(|at| format!("t{at}")).collect();
    let tags: Vec<_> = tags.iter().map(|name| (name.as_str(), "r.io/x:1")).collect();
    let observe = |queue: &mut ImportQueue, name| {
        queue.observe(&stream(name, &tags), ObservationKind::Written, now)
    };
    assert_eq!(observe(&mut queue, "a"), Admission::Tracked);
    assert_eq!(observe(&mut queue, "b"), Admission::TooMany);
    assert_eq!(queue.targets(), 60);
    queue.forget(&StreamKey { namespace: "ns".into(), name: "a".into() });
    assert_eq!(observe(&mut queue, "b"), Admission::Tracked);
}

#[test]
fn abandoned_imports_are_repeated_later() {
    let (mut queue, now) = (queue(), Instant::now());
    queue.observe(&stream("s", &[("t", "r.io/x:1")]), ObservationKind::Written, now);
    let import = queue.pop(now).unwrap();
    queue.abandon(&import, now);
    assert!(queue.pop(now).is_none());
    assert_eq!(queue.pop(now + 12 * SECOND).unwrap().unit, import.unit);
}

#[test]
fn changed_secrets_make_failures_due() {
    let (mut queue, now) = (queue(), Instant::now());
    queue.observe(&stream("s", &[("t", "r.io/x:1")]), ObservationKind::Written, now);
    let import = queue.pop(now).unwrap();
    queue.abandon(&import, now);
    queue.retry_namespace("other", now);
    assert!(queue.pop(now).is_none());
    queue.retry_namespace("ns", now);
    assert!(queue.pop(now).is_some());
}

#[test]
fn secrets_that_change_during_an_import_count() {
    let (mut queue, now) = (queue(), Instant::now());
    queue.observe(&stream("s", &[("t", "r.io/x:1")]), ObservationKind::Written, now);
    let import = queue.pop(now).unwrap();
    queue.retry_namespace("ns", now);
    assert!(queue.pop(now).is_none(), "it runs");
    let details = FailureDetails {
        class: FailureClass::Refused,
        http_status: Some(401),
        retry_after: None,
        credential: None,
    };
    let failed = FailedAttempt::new(&Status::bad_request("x"), details);
    let failed = results(&import, &TargetOutcome::Failed(failed));
    queue.finish(&import.unit, &failed, RegistryHealth::Responding, now);
    assert_eq!(queue.pop(now).map(|import| import.unit), Some(import.unit));
}
