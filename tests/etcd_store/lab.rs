//! The etcd store as the contract suite and the model need it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use imagestream_apiserver::resources::openshift_layout::{own_prefix, shared_keys};
use imagestream_apiserver::store::etcd::Etcd;
use imagestream_apiserver::store::{EtcdOptions, Observer, SharedKeys, StoreHealth};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::harness::{Lab, TestStore};
use crate::members::{Durability, Members, Peers, START, Security, Settings};
use crate::proxy::Front;

/// A store in a cluster of some members, which all tests share. The contract is about one store
/// whose revisions follow each other, so one test at a time uses the cluster. If `SHARED`, other
/// programs may write all keys too.
pub(crate) struct EtcdLab<const MEMBERS: usize, const SHARED: bool = false> {
    store: Arc<Etcd>,
    options: EtcdOptions,
    _turn: OwnedMutexGuard<()>,
}

/// A cluster, and the turns of the tests on it.
struct SharedCluster {
    members: Members,
    turns: Arc<Mutex<()>>,
}

fn cluster(members: usize) -> &'static SharedCluster {
    static CLUSTERS: [OnceLock<SharedCluster>; 2] = [OnceLock::new(), OnceLock::new()];
    CLUSTERS[usize::from(members > 1)].get_or_init(|| {
        let members = Members::begin(Settings {
            security: Security::Plain,
            durability: Durability::Fsync,
            // All tests share the cluster, and none of their runtimes lives as long.
            peers: Peers::Direct,
            ..Settings::of(members)
        });
        SharedCluster { members, turns: Arc::default() }
    })
}

impl<const MEMBERS: usize, const SHARED: bool> Lab for EtcdLab<MEMBERS, SHARED> {
    async fn start() -> Self {
        let cluster = cluster(MEMBERS);
        let turn = cluster.turns.clone().lock_owned().await;
        let shared = SharedKeys {
            store_prefix: String::new(),
            etcd_prefix: format!("/{}/", uuid::Uuid::new_v4()),
            collections: vec![String::new()],
        };
        let options = EtcdOptions {
            prefix: format!("/{}", uuid::Uuid::new_v4()),
            shared: SHARED.then_some(shared),
            ..EtcdOptions::new(cluster.members.endpoints())
        };
        let store = open(&options).await;
        Self { store, options, _turn: turn }
    }

    fn store(&self) -> Arc<dyn TestStore> {
        self.store.clone()
    }

    async fn reopen(self) -> Self {
        let Self { store, options, _turn } = self;
        drop(Arc::into_inner(store).expect("all handles are dropped before the reopen"));
        Self { store: open(&options).await, options, _turn }
    }
}

impl<const MEMBERS: usize> EtcdLab<MEMBERS> {
    /// A store as [`Lab::start`] makes it, and another one in the same cluster.
    pub(crate) async fn with_neighbour() -> (Self, Arc<Etcd>) {
        let lab = Self::start().await;
        let prefix = format!("/{}", uuid::Uuid::new_v4());
        let neighbour = open(&EtcdOptions { prefix, ..lab.options.clone() }).await;
        (lab, neighbour)
    }

    /// The URLs of the members and the prefix of the store, as flags take them.
    pub(crate) fn address(&self) -> (String, &str) {
        (self.options.servers.join(","), &self.options.prefix)
    }

    /// A store in the same cluster whose images and streams openshift-apiserver shares below a
    /// prefix.
    pub(crate) async fn openshift(&self, prefix: &str) -> Arc<Etcd> {
        let options = EtcdOptions {
            prefix: own_prefix(prefix),
            shared: Some(shared_keys(prefix)),
            ..self.options.clone()
        };
        open(&options).await
    }

    /// The same behind a link to the first member.
    pub(crate) async fn openshift_behind_link(&self, prefix: &str) -> (Front, Arc<Etcd>) {
        let (front, behind_link) = self.behind_link();
        let options = EtcdOptions {
            prefix: own_prefix(prefix),
            shared: Some(shared_keys(prefix)),
            ..behind_link
        };
        (front, open(&options).await)
    }

    /// Another replica of the store behind a link to the first member, which need not be ready.
    pub(crate) fn replica_behind_link(&self) -> (Front, Arc<Etcd>) {
        let (front, options) = self.behind_link();
        (front, Arc::new(Etcd::open(&options, Observer::default()).unwrap()))
    }

    fn behind_link(&self) -> (Front, EtcdOptions) {
        let member = self.options.servers[0].trim_start_matches("http://");
        let front = Front::start(member.parse().unwrap()).unwrap();
        let servers = vec![format!("http://{}", front.address)];
        (front, EtcdOptions { servers, ..self.options.clone() })
    }

    /// Another replica of the store.
    pub(crate) async fn replica(&self) -> Arc<dyn TestStore> {
        open(&self.options).await
    }

    /// Another replica of the store, by value.
    pub(crate) async fn open(&self) -> Etcd {
        Arc::into_inner(open(&self.options).await).expect("nothing else has a handle")
    }
}

/// Opens a store and waits until it serves.
async fn open(options: &EtcdOptions) -> Arc<Etcd> {
    let store = Arc::new(Etcd::open(options, Observer::default()).unwrap());
    become_ready(&store).await;
    store
}

/// Waits until a store serves.
pub(crate) async fn become_ready(store: &Etcd) {
    let ready = async {
        while store.ready_for_writes().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(START, ready).await.expect("etcd serves");
}
