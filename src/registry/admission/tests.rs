//! Tests of the admission chain in the update loop.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;

use super::attributes::{AdmissionAttributes, AdmissionOperation, DynObject};
use super::chain::AdmissionChain;
use super::plugin::{AdmissionPlugin, Reservation};
use crate::api::{GROUP, ImageStream, VERSION};
use crate::machinery::group_version::GroupVersion;
use crate::meta::{Status, Time};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::guaranteed_update::Storage;
use crate::registry::keys;
use crate::registry::object_ref::ObjectRef;
use crate::registry::object_store::ObjectStore;
use crate::registry::strategy::{Dependencies, Strategy, UpdateStrategy, ValidationErrors};
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

/// A call of the plugin: operation, old repository, new repository, dry run.
type Call = (AdmissionOperation, Option<String>, Option<String>, DryRun);

/// A plugin that records its calls and, during the first ones, writes the object itself.
struct Recorder {
    store: Arc<dyn Store>,
    calls: Arc<Mutex<Vec<Call>>>,
    conflicts: usize,
    refusal: Option<Status>,
}

impl AdmissionPlugin for Recorder {
    fn handles(&self, _: AdmissionOperation) -> bool {
        true
    }

    fn admit<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        async move {
            let repository = |value: serde_json::Value| {
                value["spec"]["dockerImageRepository"].as_str().unwrap_or_default().to_owned()
            };
            let shown = |object: &Option<Arc<dyn DynObject>>| {
                object.as_ref().map(|object| repository(object.to_value(API)))
            };
            let call = (
                attributes.operation,
                shown(&attributes.old),
                shown(&attributes.new),
                actor.dry_run,
            );
            self.calls.lock().push(call);
            let calls = self.calls.lock().len();
            if calls <= self.conflicts {
                put(&*self.store, &attributes.name, &format!("conflict-{calls}")).await;
            }
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
    let store = store::in_memory().unwrap().store;
    let calls = Arc::default();
    let recorder = Recorder { store: store.clone(), calls: Arc::clone(&calls), conflicts, refusal };
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
        let request = WriteRequest {
            strategy: &Plain,
            creation: AllowCreate::Free,
            purpose: WritePurpose::Store,
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

#[tokio::test]
async fn admission_runs_again_after_a_conflict() {
    let fixture = fixture(2, None);
    put(&*fixture.store, "s", "first").await;
    let written = fixture.update("wanted").await.unwrap();
    assert_eq!(written.spec.docker_image_repository, "wanted");
    let update = |old| (AdmissionOperation::Update, text(old), text("wanted"), DryRun::Off);
    assert_eq!(
        *fixture.calls.lock(),
        [update("first"), update("conflict-1"), update("conflict-2")]
    );
}

#[tokio::test]
async fn a_create_that_meets_an_object_becomes_an_update() {
    let fixture = fixture(1, None);
    fixture.update("wanted").await.unwrap();
    let calls = [
        (AdmissionOperation::Create, None, text("wanted"), DryRun::Off),
        (AdmissionOperation::Update, text("conflict-1"), text("wanted"), DryRun::Off),
    ];
    assert_eq!(*fixture.calls.lock(), calls);
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
    assert_eq!(*fixture.calls.lock(), [(AdmissionOperation::Delete, text("r"), None, DryRun::All)]);
}
