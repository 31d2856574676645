//! Tests of the admission chain in the update loop.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;

use super::attributes::{
    AdmissionAttributes, AdmissionOperation, AdmissionPhase, AdmissionTarget, DynObject,
    WriteOrigin,
};
use super::chain::AdmissionChain;
use super::namespace_lifecycle::NamespaceLifecycle;
use super::plugin::{AdmissionPlugin, Reservation};
use crate::api::{GROUP, ImageStream, VERSION};
use crate::machinery::group_version::GroupVersion;
use crate::meta::{Status, Time};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::guaranteed_update::Storage;
use crate::registry::keys;
use crate::registry::object_ref::ObjectRef;
use crate::registry::object_store::ObjectStore;
use crate::registry::outcome::WriteResult;
use crate::registry::strategy::{
    Dependencies, Dependency, Strategy, UpdateStrategy, ValidationErrors,
};
use crate::registry::verbs::{Create, Delete};
use crate::registry::write::{AllowCreate, WritePurpose, WriteRequest};
use crate::store::{self, Change, Store, Txn};

const API: GroupVersion = GroupVersion {
    group: GROUP,
    name: "image.openshift.io/v1",
    version: VERSION,
    kinds: &["ImageStream"],
};

/// A strategy without rules.
struct Plain;

impl UpdateStrategy<ImageStream> for Plain {
    fn validate(
        &self,
        _: Option<&ImageStream>,
        _: &mut ImageStream,
        _: &Dependencies<ImageStream>,
        _: Time,
    ) -> ValidationErrors {
        ValidationErrors::default()
    }
}

impl Strategy<ImageStream> for Plain {
    fn name_errors(&self, _: &str) -> Vec<&'static str> {
        Vec::new()
    }
}

/// A call of the plugin: phase, operation, old repository, new repository, dry run.
type Call = (AdmissionPhase, AdmissionOperation, Option<String>, Option<String>, DryRun);

/// A plugin that records its calls and, during the first ones of a phase, writes the object itself.
struct Recorder {
    store: Arc<dyn Store>,
    calls: Arc<Mutex<Vec<Call>>>,
    conflicts: usize,
    refusal: Option<Status>,
    /// The repository that the mutating phase sets.
    replacement: Option<&'static str>,
}

impl Recorder {
    async fn record(&self, phase: AdmissionPhase, attributes: &AdmissionAttributes, actor: &Actor) {
        let repository = |value: serde_json::Value| {
            value["spec"]["dockerImageRepository"].as_str().unwrap_or_default().to_owned()
        };
        let shown = |object: &Option<Arc<dyn DynObject>>| {
            object.as_ref().map(|object| repository(object.to_value(API)))
        };
        let operation = attributes.target.operation;
        let (old, new) = (shown(&attributes.old), shown(&attributes.new));
        self.calls.lock().push((phase, operation, old, new, actor.dry_run));
        let calls = self.calls.lock().iter().filter(|call| call.0 == phase).count();
        if phase == AdmissionPhase::Validate && calls <= self.conflicts {
            put(&*self.store, &attributes.name, &format!("conflict-{calls}")).await;
        }
    }
}

impl AdmissionPlugin for Recorder {
    fn handles(&self, _: AdmissionPhase, _: &AdmissionTarget) -> bool {
        true
    }

    fn mutate<'a>(
        &'a self,
        attributes: &'a mut AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            self.record(AdmissionPhase::Mutate, attributes, actor).await;
            if let (Some(new), Some(replacement)) = (&attributes.new, self.replacement) {
                let mut value = new.to_value(API);
                value["spec"]["dockerImageRepository"] = replacement.into();
                attributes.new = Some(new.decode(value).unwrap());
            }
            Ok(())
        }
        .boxed()
    }

    fn validate<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        async move {
            self.record(AdmissionPhase::Validate, attributes, actor).await;
            self.refusal.clone().map_or(Ok(None), Err)
        }
        .boxed()
    }
}

async fn put(store: &dyn Store, name: &str, repository: &str) {
    let metadata = json!({"name": name, "namespace": "ns", "uid": "u"});
    let spec = json!({"dockerImageRepository": repository});
    let value = json!({"metadata": metadata, "spec": spec}).to_string();
    let key =
        keys::key(crate::meta::GroupResource { group: GROUP, name: "imagestreams" }, "ns", name);
    let txn =
        Txn { guards: vec![], changes: vec![Change::Put(key, value.into())], ..Txn::default() };
    store.commit(txn).await.unwrap();
}

/// A store of streams behind a recorder.
struct AdmissionFixture {
    store: Arc<dyn Store>,
    streams: ObjectStore<ImageStream, Plain>,
    calls: Arc<Mutex<Vec<Call>>>,
    actor: Actor,
}

fn fixture(conflicts: usize, refusal: Option<Status>) -> AdmissionFixture {
    fixture_with(conflicts, refusal, None)
}

fn fixture_with(
    conflicts: usize,
    refusal: Option<Status>,
    replacement: Option<&'static str>,
) -> AdmissionFixture {
    let store = store::in_memory().unwrap().store;
    let calls = Arc::default();
    let (store_of_plugin, calls_of_plugin) = (store.clone(), Arc::clone(&calls));
    let recorder = Recorder {
        store: store_of_plugin,
        calls: calls_of_plugin,
        conflicts,
        refusal,
        replacement,
    };
    let storage =
        Arc::new(Storage::new(store.clone(), AdmissionChain::new(vec![Box::new(recorder)])));
    let streams = ObjectStore::new(storage, API, "imagestreams", Plain);
    let actor = Actor::internal("test", Time::from_unix_seconds(0));
    AdmissionFixture { store, streams, calls, actor }
}

fn stream(name: &str, repository: &str) -> ImageStream {
    let mut stream = ImageStream::default();
    stream.metadata.name = name.into();
    stream.spec.docker_image_repository = repository.into();
    stream
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

impl AdmissionFixture {
    /// Sets the repository of the stream `s`.
    async fn update(&self, repository: &str) -> Result<ImageStream, Status> {
        self.update_with(&Plain, repository).await
    }

    async fn update_with(
        &self,
        strategy: &dyn UpdateStrategy<ImageStream>,
        repository: &str,
    ) -> Result<ImageStream, Status> {
        let request = WriteRequest {
            strategy,
            creation: AllowCreate::Free,
            purpose: WritePurpose::Store,
            origin: WriteOrigin::Request,
        };
        let edit = |old: Option<&ImageStream>| {
            let mut new = old.cloned().unwrap_or_else(|| stream("s", ""));
            new.spec.docker_image_repository = repository.into();
            Ok((new, ()))
        };
        let written = self.streams.write(&self.actor, "ns", "s", request, edit).await?;
        Ok(written.object)
    }
}

/// The calls of both phases of a write.
fn both(
    operation: AdmissionOperation,
    old: Option<String>,
    new: Option<String>,
    dry_run: DryRun,
) -> [Call; 2] {
    [AdmissionPhase::Mutate, AdmissionPhase::Validate]
        .map(|phase| (phase, operation, old.clone(), new.clone(), dry_run))
}

#[tokio::test]
async fn admission_runs_again_after_a_conflict() {
    let fixture = fixture(2, None);
    put(&*fixture.store, "s", "first").await;
    let written = fixture.update("wanted").await.unwrap();
    assert_eq!(written.spec.docker_image_repository, "wanted");
    let update = |old| both(AdmissionOperation::Update, text(old), text("wanted"), DryRun::Off);
    let expected = [update("first"), update("conflict-1"), update("conflict-2")].concat();
    assert_eq!(*fixture.calls.lock(), expected);
}

#[tokio::test]
async fn a_create_that_meets_an_object_becomes_an_update() {
    let fixture = fixture(1, None);
    fixture.update("wanted").await.unwrap();
    let calls = [
        both(AdmissionOperation::Create, None, text("wanted"), DryRun::Off),
        both(AdmissionOperation::Update, text("conflict-1"), text("wanted"), DryRun::Off),
    ];
    assert_eq!(*fixture.calls.lock(), calls.concat());
}

#[tokio::test]
async fn mutated_objects_are_validated_and_stored() {
    let fixture = fixture_with(1, None, Some("mutated"));
    put(&*fixture.store, "s", "first").await;
    let updated = fixture.update("wanted").await.unwrap();
    assert_eq!(updated.spec.docker_image_repository, "mutated");
    let seen =
        |phase, old, new| (phase, AdmissionOperation::Update, text(old), text(new), DryRun::Off);
    let mut expected = Vec::new();
    for old in ["first", "conflict-1"] {
        expected.push(seen(AdmissionPhase::Mutate, old, "wanted"));
        expected.push(seen(AdmissionPhase::Validate, old, "mutated"));
    }
    assert_eq!(*fixture.calls.lock(), expected);
}

/// A strategy whose writes need an access review.
struct Reviewed;

impl UpdateStrategy<ImageStream> for Reviewed {
    fn dependencies(&self, _: Option<&ImageStream>, _: &ImageStream) -> Vec<Dependency> {
        let permission = Some(Box::default());
        vec![Dependency { namespace: "other".into(), name: "x".into(), permission }]
    }

    fn validate(
        &self,
        _: Option<&ImageStream>,
        _: &mut ImageStream,
        _: &Dependencies<ImageStream>,
        _: Time,
    ) -> ValidationErrors {
        ValidationErrors::default()
    }
}

#[tokio::test]
async fn access_review_does_not_repeat_admission() {
    let fixture = fixture(0, None);
    put(&*fixture.store, "s", "first").await;
    fixture.update_with(&Reviewed, "wanted").await.unwrap();
    let expected = both(AdmissionOperation::Update, text("first"), text("wanted"), DryRun::Off);
    assert_eq!(*fixture.calls.lock(), expected);
}

#[tokio::test]
async fn mutated_objects_are_created() {
    let fixture = fixture_with(0, None, Some("mutated"));
    let at = ObjectRef::all_in("ns");
    let created = fixture.streams.create(&fixture.actor, &at, stream("t", "wanted")).await;
    let WriteResult::Created(created) = created.unwrap().result else { panic!("not created") };
    assert_eq!(created.spec.docker_image_repository, "mutated");
    assert!(!created.metadata.uid.is_empty());
    let seen = |phase, new| (phase, AdmissionOperation::Create, None, text(new), DryRun::Off);
    let expected =
        [seen(AdmissionPhase::Mutate, "wanted"), seen(AdmissionPhase::Validate, "mutated")];
    assert_eq!(*fixture.calls.lock(), expected);
}

#[tokio::test]
async fn a_refused_write_stores_nothing() {
    let fixture = fixture(0, Some(Status::forbidden("no")));
    let at = ObjectRef::all_in("ns");
    let before = fixture.store.current().await.unwrap();
    assert_eq!(
        fixture.streams.create(&fixture.actor, &at, stream("s", "r")).await.unwrap_err().code,
        403
    );
    assert_eq!(fixture.update("r").await.unwrap_err().code, 403);
    assert_eq!(fixture.store.current().await.unwrap(), before);
}

#[tokio::test]
async fn deletes_and_dry_runs_are_admitted() {
    let mut fixture = fixture(0, None);
    put(&*fixture.store, "s", "r").await;
    fixture.actor.dry_run = DryRun::All;
    let at = ObjectRef::in_namespace("ns", "s");
    fixture.streams.delete(&fixture.actor, &at, &Default::default()).await.unwrap();
    let expected = both(AdmissionOperation::Delete, text("r"), None, DryRun::All);
    assert_eq!(*fixture.calls.lock(), expected);
}

#[tokio::test]
async fn write_that_concerns_no_plugin_is_edited_once() {
    let chain = AdmissionChain::new(vec![Box::new(NamespaceLifecycle)]);
    let store = store::in_memory().unwrap().store;
    let streams =
        ObjectStore::new(Arc::new(Storage::new(store, chain)), API, "imagestreams", Plain);
    let actor = Actor::internal("test", Time::from_unix_seconds(0));
    // The second name is that of no namespace.
    for (namespace, code) in [("ns", None), ("No", Some(404))] {
        let request = WriteRequest {
            strategy: &Plain,
            creation: AllowCreate::Free,
            purpose: WritePurpose::Store,
            origin: WriteOrigin::Request,
        };
        let edits = Mutex::new(0);
        let edit = |_: Option<&ImageStream>| {
            *edits.lock() += 1;
            Ok((stream("s", ""), ()))
        };
        let written = streams.write(&actor, namespace, "s", request, edit).await;
        assert_eq!((written.err().map(|status| status.code), *edits.lock()), (code, 1));
    }
}
