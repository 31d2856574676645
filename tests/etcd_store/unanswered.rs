//! Writes of shared keys that etcd does not answer, beside equal writes of others.

use std::sync::Arc;

use imagestream_apiserver::store::etcd::Etcd;
use imagestream_apiserver::store::{Change, Guard, Key, Lookup, Outcome, Revision, Store, Txn};

use crate::harness::{Lab, within};
use crate::lab::EtcdLab;
use crate::link::Condition;
use crate::proxy::Front;

/// Two replicas over the same shared keys, one of which reaches etcd through a link.
struct Pair {
    behind_link: Arc<Etcd>,
    other: Arc<Etcd>,
    front: Front,
    key: Key,
    _lab: EtcdLab<1>,
}

impl Pair {
    async fn start() -> Self {
        let lab = EtcdLab::<1>::start().await;
        let prefix = format!("/{}", uuid::Uuid::new_v4());
        let (front, behind_link) = lab.openshift_behind_link(&prefix).await;
        let other = lab.openshift(&prefix).await;
        let key = Key::new("/image.openshift.io/images/i");
        Self { behind_link, other, front, key, _lab: lab }
    }

    fn put(&self) -> Txn {
        let guards = vec![Guard::Absent(self.key.clone())];
        let changes = vec![Change::Put(self.key.clone(), "value".into())];
        Txn { guards, changes, ..Txn::default() }
    }

    fn delete(&self, at: Revision) -> Txn {
        let guards = vec![Guard::Unchanged(self.key.clone(), at)];
        Txn { guards, changes: vec![Change::Delete(self.key.clone())], ..Txn::default() }
    }

    /// Begins a write behind the link.
    fn begin(&self, txn: Txn) -> tokio::task::JoinHandle<Outcome> {
        let store = self.behind_link.clone();
        tokio::spawn(async move { within(store.commit(txn)).await.expect("the outcome is found") })
    }
}

fn revision(outcome: Outcome) -> Revision {
    match outcome {
        Outcome::Committed(revision) => revision,
        Outcome::Refused(_) => panic!("{outcome:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_by_another_is_not_taken_for_the_own() {
    let pair = Pair::start().await;
    let made = revision(within(pair.other.commit(pair.put())).await.unwrap());
    pair.front.link.set(Condition::Held);
    let own = pair.begin(pair.delete(made));
    revision(within(pair.other.commit(pair.delete(made))).await.unwrap());
    pair.front.link.reset().await;
    let own = own.await.unwrap();
    assert!(matches!(own, Outcome::Refused(_)), "{own:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_write_is_found_after_a_lost_answer() {
    let pair = Pair::start().await;
    pair.front.link.set(Condition::Mute);
    let own = pair.begin(pair.put());
    let applied = within(async {
        loop {
            if let Lookup::Found(entry) = pair.other.get(&pair.key, None).await.unwrap() {
                break entry.revision;
            }
        }
    })
    .await;
    pair.front.link.reset().await;
    assert_eq!(revision(own.await.unwrap()), applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_in_memory_are_hidden_after_a_failure() {
    let pair = Pair::start().await;
    let made = revision(within(pair.behind_link.commit(pair.put())).await.unwrap());
    let read = within(pair.behind_link.get(&pair.key, None)).await.unwrap();
    assert!(matches!(&read, Lookup::Found(entry) if entry.revision == made), "{read:?}");
    assert_eq!(pair.behind_link.get_cached(&pair.key), Some(read));
    pair.front.link.set(Condition::Held);
    within(pair.behind_link.current()).await.unwrap_err();
    // So a write begins with a read, and its failure shows that nothing was written.
    assert_eq!(pair.behind_link.get_cached(&pair.key), None);
}
