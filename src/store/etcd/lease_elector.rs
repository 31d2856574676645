//! The election of one replica for some work, by a key that is bound to a lease of etcd.
//!
//! The key of the work exists while a replica is elected. A replica whose lease is not renewed in
//! time counts its term as ended before etcd removes the key. It may learn that late, so each of its
//! writes compares the revision of the key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, ResponseHeader, Txn, TxnOp};
use futures_util::future::BoxFuture;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::store::{Elector, Revision, Term, TermGuard};

use super::commit_log::revision;
use super::error::CallError;
use super::replica::Replica;

/// The time to live of a lease that is not renewed, in seconds. A killed replica is replaced after
/// at most this time and a second.
const LEASE_SECONDS: i64 = 12;
/// The interval of renewals.
const RENEWAL: Duration = Duration::from_secs(2);
/// The age of the last renewal at which a term ends. The difference to the time to live covers
/// clocks of different speed.
const TERM_END: Duration = Duration::from_secs(8);
/// The interval at which other replicas look for the end of a term.
const CHECK: Duration = Duration::from_millis(300);

/// Elects replicas through leases.
pub(super) struct LeaseElector {
    replica: Arc<Replica>,
}

/// A lease, revoked when it is dropped.
struct Lease {
    replica: Arc<Replica>,
    id: i64,
    /// The term of the key that is bound to the lease.
    guard: TermGuard,
    is_revoked: AtomicBool,
}

impl LeaseElector {
    pub(super) fn new(replica: Arc<Replica>) -> Self {
        Self { replica }
    }

    /// Returns true if no replica is elected. Costs etcd no write, as an attempt does.
    async fn is_vacant(&self, work: &str) -> Result<bool, CallError> {
        let (key, options) = (self.replica.layout.term(work), GetOptions::new().with_count_only());
        let found = self.replica.members.call(|mut clients| {
            let (key, options) = (key.clone(), options.clone());
            async move { clients.kv.get(key, Some(options)).await }
        });
        Ok(found.await?.count() == 0)
    }

    /// Makes one attempt. Returns the lease of the term; `None` if another replica is elected.
    async fn try_elect(&self, work: &'static str) -> Result<Option<Lease>, CallError> {
        let members = &self.replica.members;
        let granted = members
            .call_once(|mut clients| async move { clients.lease.grant(LEASE_SECONDS, None).await })
            .await?;
        let (replica, is_revoked) = (self.replica.clone(), AtomicBool::new(false));
        let guard = TermGuard { work, begin: Revision(0) };
        let mut lease = Lease { replica, id: granted.id(), guard, is_revoked };
        let key = self.replica.layout.term(work);
        let options = PutOptions::new().with_lease(lease.id);
        let txn = Txn::new()
            .when([Compare::create_revision(key.clone(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(key, lease.id.to_string(), Some(options))]);
        let elected =
            members.call_once(|mut clients| async move { clients.kv.txn(txn).await }).await?;
        lease.guard.begin = revision(elected.header().map_or(0, ResponseHeader::revision));
        Ok(elected.succeeded().then_some(lease))
    }
}

impl Elector for LeaseElector {
    fn elect(&self, work: &'static str) -> BoxFuture<'_, Term> {
        Box::pin(async move {
            loop {
                let begun = Instant::now();
                let elected = match self.is_vacant(work).await {
                    Ok(true) => self.try_elect(work).await,
                    Ok(false) => Ok(None),
                    Err(error) => Err(error),
                };
                match elected {
                    Ok(Some(lease)) => return Arc::new(lease).term(begun),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, work, "the election failed"),
                }
                sleep(CHECK).await;
            }
        })
    }
}

impl Lease {
    /// The term of this lease, which was granted after `begun`.
    fn term(self: Arc<Self>, begun: Instant) -> Term {
        let (lease, guard) = (self.clone(), self.guard.clone());
        Term::until(self.keep(begun))
            .with_resignation(async move { lease.revoke().await })
            .with_guard(guard)
    }

    /// Renews the lease until it or its key is lost.
    async fn keep(self: Arc<Self>, mut renewed: Instant) {
        let mut renewals = interval(RENEWAL);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            renewals.tick().await;
            let begun = Instant::now();
            let left = TERM_END.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(true)) => renewed = begun,
                Ok(Ok(false) | Err(CallError::Rejected(_))) | Err(_) => return,
                Ok(Err(error)) => tracing::debug!(%error, "a lease of etcd was not renewed"),
            }
        }
    }

    /// Revokes the lease, which removes the key of the term.
    async fn revoke(&self) {
        self.is_revoked.store(true, Ordering::Relaxed);
        revoke(&self.replica, self.id).await;
    }

    /// Renews the lease once. Returns false if its key is gone.
    ///
    /// # Errors
    /// `Rejected` if the lease is lost.
    async fn renew(&self) -> Result<bool, CallError> {
        let (id, Replica { members, layout, .. }) = (self.id, &*self.replica);
        members.call(|mut clients| async move { clients.lease.keep_alive(id).await }).await?;
        let key = layout.term(self.guard.work);
        let found = members
            .call(|mut clients| {
                let key = key.clone();
                async move { clients.kv.get(key, None).await }
            })
            .await?;
        let begin = found.kvs().first().map(|kv| revision(kv.create_revision()));
        Ok(begin == Some(self.guard.begin))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if *self.is_revoked.get_mut() {
            return;
        }
        let (replica, id) = (self.replica.clone(), self.id);
        // At the end of the process there is no runtime: then the lease ends by itself.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move { revoke(&replica, id).await });
    }
}

async fn revoke(replica: &Replica, id: i64) {
    let revoked = replica
        .members
        .call_once(|mut clients| async move { clients.lease.revoke(id).await })
        .await;
    if let Err(error) = revoked {
        tracing::debug!(%error, "a lease of etcd was not revoked, it ends by itself");
    }
}
