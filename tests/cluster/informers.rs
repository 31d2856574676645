//! Informers of a third-party client (kube-rs), with list and watch and with streamed lists
//! (WatchList). After a restart of either server their caches converge to the stored state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::backend::{Backend, Certificate, Prepared, path};
use super::objects;
use super::plane::ControlPlane;
use super::site::{front_proxy, on_behalf, own};
use super::wait::until;
use crate::support::client::Request;
use crate::support::expect::Expect;

/// Names of streams with the resource version of each.
type Known = BTreeMap<String, String>;

/// Control of the informer tasks: a sleeping informer does not process events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attention {
    Awake,
    Asleep,
}

/// An informer on the streams of a namespace.
struct Informer {
    mode: &'static str,
    store: reflector::Store<DynamicObject>,
    /// The number of lists, which is the number of full restarts of the informer.
    lists: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Informer {
    fn start(
        mode: &'static str,
        api: Api<DynamicObject>,
        config: watcher::Config,
        mut attention: watch::Receiver<Attention>,
    ) -> Self {
        let writer = reflector::store::Writer::new(resource());
        let (store, lists) = (writer.as_reader(), Arc::new(AtomicUsize::new(0)));
        let counted = lists.clone();
        let events = watcher(api, config).default_backoff().inspect(move |event| {
            if let Ok(Event::Init) = event {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(reflector(writer, events));
            // The loop ends when the test drops the sender.
            while attention.wait_for(|attention| *attention == Attention::Awake).await.is_ok() {
                tokio::select! {
                    event = events.next() => assert!(event.is_some(), "a watcher never ends"),
                    _ = attention.changed() => {}
                }
            }
        });
        Self { mode, store, lists, task }
    }

    fn knows(&self) -> Known {
        let entry = |stream: &Arc<DynamicObject>| {
            let metadata = stream.metadata.clone();
            (metadata.name.unwrap_or_default(), metadata.resource_version.unwrap_or_default())
        };
        self.store.state().iter().map(entry).collect()
    }

    fn lists(&self) -> usize {
        self.lists.load(Ordering::SeqCst)
    }
}

impl Drop for Informer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("image.openshift.io", "v1", "ImageStream"),
        "imagestreams",
    )
}

async fn client(plane: &ControlPlane) -> Client {
    let admin = plane.user("admin", Some("system:masters")).identity();
    let path = plane.kubeconfig(&admin).expect("a kubeconfig can be written");
    let kubeconfig = Kubeconfig::read_from(path).expect("the kubeconfig can be read");
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .expect("the kubeconfig has a usable context");
    Client::try_from(config).expect("a client can be created")
}

/// A namespace with changing streams and one informer of each kind.
struct Scene {
    backend: Backend,
    namespace: String,
    informers: [Informer; 2],
    attention: watch::Sender<Attention>,
}

impl Scene {
    async fn open(plane: &ControlPlane) -> Self {
        let backend = Prepared::new(plane, Certificate::Issued).await.start().await;
        plane.register(&backend).await;
        let namespace = format!("informed-{}", backend.port());
        plane.create_namespace(&namespace).await;
        for name in ["early", "changing", "leaving"] {
            plane.create(&path(&namespace, "imagestreams"), &objects::stream(name)).await;
        }
        let api = Api::namespaced_with(client(plane).await, &namespace, &resource());
        let (attention, receiver) = watch::channel(Attention::Awake);
        let modes = [
            ("list and watch", watcher::Config::default().page_size(2)),
            ("streamed list", watcher::Config::default().streaming_lists()),
        ];
        let informers = modes
            .map(|(mode, config)| Informer::start(mode, api.clone(), config, receiver.clone()));
        Self { backend, namespace, informers, attention }
    }

    fn at(&self, rest: &str) -> String {
        path(&self.namespace, &format!("imagestreams{rest}"))
    }

    /// Creates, changes and deletes streams.
    async fn act(&self, plane: &ControlPlane, round: &str) {
        plane.create(&self.at(""), &objects::stream(&format!("made-{round}"))).await;
        plane
            .patch(&self.at("/changing"), &json!({"metadata": {"labels": {"round": round}}}))
            .await;
        plane.delete(&self.at("/leaving")).await;
        plane.create(&self.at(""), &objects::stream("leaving")).await;
    }

    /// The stored streams.
    async fn there_is(&self, plane: &ControlPlane) -> Known {
        let list = plane.get(&self.at("")).await.expect("streams are listed");
        let text = |value: &Value| value.as_str().expect("the value is a string").to_owned();
        let items = list["items"].as_array().expect("a list has items");
        items
            .iter()
            .map(|item| {
                (text(&item["metadata"]["name"]), text(&item["metadata"]["resourceVersion"]))
            })
            .collect()
    }

    /// Waits until both informers have the stored state, and asserts the number of lists of each.
    async fn all_is_known(&self, plane: &ControlPlane, lists: usize) {
        let wanted = self.there_is(plane).await;
        for informer in &self.informers {
            until(&format!("{}: it knows what there is", informer.mode), || async {
                let known = informer.knows();
                if known == wanted { Ok(()) } else { Err(format!("{known:?} of {wanted:?}")) }
            })
            .await;
            assert_eq!(informer.lists(), lists, "{}: number of lists", informer.mode);
        }
    }
}

#[tokio::test]
async fn informers_resume_after_restart_and_relist_after_compaction() {
    let mut plane = own().await;
    let mut scene = Scene::open(&plane).await;
    scene.all_is_known(&plane, 1).await;
    scene.act(&plane, "first").await;
    scene.all_is_known(&plane, 1).await;

    scene.backend.start_again().await;
    plane.available().await;
    scene.act(&plane, "after-restart").await;
    scene.all_is_known(&plane, 1).await;

    plane.stop_kube_apiserver();
    // The request goes directly to the server, as from a second kube-apiserver replica.
    let meanwhile = on_behalf("admin", &["system:masters"], "DELETE", &scene.at("/made-first"));
    let identity = front_proxy(&plane).identity();
    scene.backend.ask(&identity, meanwhile).await.is(200);
    plane.start_kube_apiserver().await.expect("kube-apiserver starts again");
    plane.available().await;
    scene.act(&plane, "after-kube-apiserver").await;
    scene.all_is_known(&plane, 1).await;
    assert!(!scene.there_is(&plane).await.contains_key("made-first"));

    scene.attention.send_replace(Attention::Asleep);
    let seen = scene.there_is(&plane).await;
    let seen = seen
        .values()
        .filter_map(|revision| revision.parse::<u64>().ok())
        .max()
        .expect("the list has streams");
    scene.backend.set("--compaction-interval=1s");
    scene.backend.set("--compaction-retention=1s");
    scene.backend.start_again().await;
    plane.available().await;
    // Earlier events may already be in a buffer between server and client.
    scene.act(&plane, "unseen").await;
    until("the old revision is compacted", || async {
        let then = format!("?resourceVersion={seen}&resourceVersionMatch=Exact&limit=1");
        let answer = plane.ask(Request::new("GET", &scene.at(&then))).await;
        if answer.status == 410 { Ok(()) } else { Err(answer.status.to_string()) }
    })
    .await;
    scene.attention.send_replace(Attention::Awake);
    scene.all_is_known(&plane, 2).await;
    scene.act(&plane, "last").await;
    scene.all_is_known(&plane, 2).await;
}
