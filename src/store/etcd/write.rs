//! Commits: sends transactions and finds the outcome of those that etcd did not answer.
//!
//! A transaction without an answer may have been applied, may be applied later, or never. To find
//! out, the fence is put: it fails every older transaction that is not applied yet. The feed then
//! has seen the write ID of the transaction at the sentinel, or it never will. Then the transaction
//! can be sent again. With shared keys, the feed sees the changes but no write ID, so the key of write
//! IDs is read at the revisions of commits with the same changes.
//!
//! An etcd without space refuses to put the sentinel. A transaction that only deletes is then sent
//! again and deletes the sentinel, so that all replicas see that their latest revision has passed.

use std::sync::Arc;

use etcd_client::{GetOptions, TxnResponse};
use tokio::time::Instant;

use crate::store::{Change, Current, Entry, Guard, Outcome, Revision, StoreError, Txn};

use super::commit_log::{WriteId, etcd_revision, revision, write_id};
use super::error::{CallError, CallFailure};
use super::feed::{WriteFate, WriteMark};
use super::key_index::Indexed;
use super::own_keys::{LatestRevision, restore_sentinel};
use super::replica::Replica;
use super::request::{self, Answer, GuardForm, MAX_GUARDS, TxnMark};

/// A write whose fate the feed follows until it is dropped.
struct FollowedWrite<'r> {
    replica: &'r Replica,
    id: WriteId,
}

impl<'r> FollowedWrite<'r> {
    fn new(replica: &'r Replica, txn: &Txn) -> Self {
        let id = uuid::Uuid::new_v4().as_u128();
        if let Some(mark) = replica.mark(txn) {
            replica.feed.follow(id, mark);
        }
        Self { replica, id }
    }
}

impl Drop for FollowedWrite<'_> {
    fn drop(&mut self) {
        self.replica.feed.unfollow(self.id);
    }
}

/// The fate of a write, told from those of equal writes.
enum FinalFate {
    /// The write was not applied up to the position of the feed.
    Unseen,
    /// The write was applied with this revision.
    Applied(Revision),
    /// The feed has missed events.
    Unknown,
}

/// The result of sending a transaction once.
enum Attempt {
    /// The outcome is known.
    Done(Outcome),
    /// The transaction was not applied and never will be. It can be sent again.
    NotApplied,
    /// The same, because etcd has no space for what it puts.
    NoSpace,
}

impl Replica {
    /// Commits a valid transaction.
    pub(super) async fn commit(&self, txn: &Txn) -> Result<Outcome, StoreError> {
        request::check_limits(txn)?;
        self.space.admit(txn)?;
        self.begun().await?;
        let deadline = Instant::now() + 2 * self.members.request_timeout();
        let only_deletes = txn.changes.iter().all(|change| matches!(change, Change::Delete(_)));
        let mut has_space = true;
        loop {
            let form = if txn.guards.len() <= MAX_GUARDS {
                GuardForm::Each
            } else if self.layout.is_shared() {
                let reason = format!(
                    "{} guards in one transaction, the most for shared keys is {MAX_GUARDS}: split the write",
                    txn.guards.len()
                );
                return Err(StoreError::TooLarge { reason });
            } else {
                match self.many_guards(txn).await? {
                    Ok(at) => GuardForm::AllAt(at),
                    Err(refused) => return Ok(Outcome::Refused(refused)),
                }
            };
            let attempt = match has_space {
                true => self.try_commit(txn, form).await?,
                false => self.try_delete(txn, form).await?,
            };
            match attempt {
                Attempt::Done(outcome) => {
                    self.update_cached(txn, &outcome);
                    return Ok(outcome);
                }
                Attempt::NoSpace if has_space && only_deletes => has_space = false,
                Attempt::NoSpace => return Err(self.space.used_up()),
                Attempt::NotApplied if Instant::now() < deadline => {}
                Attempt::NotApplied => {
                    let reason =
                        "the transaction was not applied in time, because others were faster";
                    return Err(CallError::other(reason).into());
                }
            }
        }
    }

    /// Takes over what an outcome shows of values in memory, before the watch does.
    fn update_cached(&self, txn: &Txn, outcome: &Outcome) {
        match outcome {
            Outcome::Committed(revision) => self.feed.committed(&txn.changes, *revision),
            Outcome::Refused(current) => current
                .iter()
                .for_each(|Current { key, entry }| self.feed.refresh(key, entry.as_ref())),
        }
    }

    /// The mark by which the feed recognizes a transaction; none if the watch does not show it.
    fn mark(&self, txn: &Txn) -> Option<WriteMark> {
        if !self.layout.is_shared() {
            return Some(WriteMark::WriteId);
        }
        let is_watched = |change: &&Change| self.layout.is_watched(change.key().as_str());
        let changes: Vec<_> = txn.changes.iter().filter(is_watched).cloned().collect();
        (!changes.is_empty()).then_some(WriteMark::Changes(changes))
    }

    /// Sends a transaction once.
    async fn try_commit(&self, txn: &Txn, form: GuardForm) -> Result<Attempt, StoreError> {
        let write = FollowedWrite::new(self, txn);
        let mark = match self.layout.is_shared() {
            true => TxnMark::LastWrite(write.id),
            false => TxnMark::Sentinel(write.id),
        };
        match self.send(txn, form, mark).await {
            Ok(response) => self.attempt(txn, form, &response),
            Err(CallError::NoSpace) => self.confirm_no_space(write.id).await,
            Err(CallError::Failed(failure)) => {
                tracing::debug!(%failure, "etcd has not answered a write");
                self.resolve(write.id, failure).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a transaction once that only deletes, in a form that needs no space.
    async fn try_delete(&self, txn: &Txn, form: GuardForm) -> Result<Attempt, StoreError> {
        match self.send(txn, form, TxnMark::NoSentinel).await {
            Ok(response) => self.attempt(txn, form, &response),
            Err(CallError::NoSpace) => Ok(Attempt::NoSpace),
            // Without a write ID, nothing shows whether this transaction or another one has deleted
            // the keys.
            Err(CallError::Failed(failure)) => Err(StoreError::OutcomeUnknown(failure)),
            Err(error) => Err(error.into()),
        }
    }

    async fn send(
        &self,
        txn: &Txn,
        form: GuardForm,
        mark: TxnMark,
    ) -> Result<TxnResponse, CallError> {
        let request = request::request(&self.layout, txn, form, mark, self.feed.fence());
        let sent =
            self.members.call_once(|mut clients| async move { clients.kv.txn(request).await });
        self.quorum.record(sent.await)
    }

    /// The meaning of a response to a transaction.
    fn attempt(
        &self,
        txn: &Txn,
        form: GuardForm,
        response: &TxnResponse,
    ) -> Result<Attempt, StoreError> {
        let guarded = match form {
            GuardForm::Each => txn,
            GuardForm::AllAt(_) => &Txn { term: txn.term.clone(), ..Txn::default() },
        };
        match request::answer(guarded, response) {
            Ok(Answer::Done(outcome)) => Ok(Attempt::Done(outcome)),
            Ok(Answer::Fenced(fence)) => {
                self.feed.raise_fence(fence);
                Ok(Attempt::NotApplied)
            }
            Ok(Answer::TermOver(work)) => Err(StoreError::TermOver { work }),
            Err(reason) => {
                Err(StoreError::OutcomeUnknown(Arc::new(CallFailure::Other(reason.into()))))
            }
        }
    }

    /// Finds the outcome of a transaction for which etcd reports no space. The one that uses up the
    /// quota gets this report although it is applied, see `quotaApplierV3` in
    /// server/etcdserver/apply/quota.go of etcd.
    async fn confirm_no_space(&self, write: WriteId) -> Result<Attempt, StoreError> {
        let unknown = |reason: StoreError| StoreError::OutcomeUnknown(Arc::new(reason));
        self.fresh_feed().await.map_err(unknown)?;
        let fate = self.fate(write).await.map_err(|error| unknown(error.into()))?;
        match fate {
            FinalFate::Applied(at) => Ok(Attempt::Done(Outcome::Committed(at))),
            FinalFate::Unseen => Ok(Attempt::NoSpace),
            FinalFate::Unknown => Err(unknown(CallError::NoSpace.into())),
        }
    }

    /// The fate of a write up to the position of the feed.
    ///
    /// # Errors
    /// No quorum answers, or the revision of a commit with the same changes is compacted.
    async fn fate(&self, write: WriteId) -> Result<FinalFate, CallError> {
        let (revisions, is_complete) = match self.feed.fate(write) {
            WriteFate::Unseen => return Ok(FinalFate::Unseen),
            WriteFate::Applied(at) => return Ok(FinalFate::Applied(at)),
            WriteFate::Unknown => return Ok(FinalFate::Unknown),
            WriteFate::Possible { revisions, is_complete } => (revisions, is_complete),
        };
        for at in revisions {
            if self.last_write(at).await? == Some(write) {
                return Ok(FinalFate::Applied(at));
            }
        }
        Ok(if is_complete { FinalFate::Unseen } else { FinalFate::Unknown })
    }

    /// The write ID of the transaction on shared keys that was the latest one at a revision.
    async fn last_write(&self, at: Revision) -> Result<Option<WriteId>, CallError> {
        let options = GetOptions::new().with_revision(etcd_revision(at));
        let found = self.members.call(move |mut clients| {
            let (key, options) = (self.layout.last_write(), options.clone());
            async move { clients.kv.get(key, Some(options)).await }
        });
        Ok(found.await?.kvs().first().and_then(|kv| write_id(kv.value())))
    }

    /// Finds the outcome of a transaction that failed.
    async fn resolve(
        &self,
        write: WriteId,
        failure: Arc<CallFailure>,
    ) -> Result<Attempt, StoreError> {
        let unknown = || StoreError::OutcomeUnknown(failure.clone());
        if let Ok(FinalFate::Applied(at)) = self.fate(write).await {
            return Ok(Attempt::Done(Outcome::Committed(at)));
        }
        let fence = self.fence.get().await.map_err(|_| unknown())?;
        self.feed.raise_fence(fence);
        let is_reached = match self.layout.is_shared() {
            true => self.reach_latest(LatestRevision::Unmarked(revision(fence))).await,
            // The watch shows the fence itself. Reports of progress do not count here: old members
            // send them too early.
            false => self.reach(|now| now.position >= fence).await,
        };
        is_reached.then_some(()).ok_or_else(unknown)?;
        match self.fate(write).await.map_err(|_| unknown())? {
            FinalFate::Applied(at) => Ok(Attempt::Done(Outcome::Committed(at))),
            FinalFate::Unseen => Ok(Attempt::NotApplied),
            FinalFate::Unknown => Err(unknown()),
        }
    }

    /// Checks more guards than etcd can compare. Returns the revision at which all of them hold, or
    /// the current states of those that do not.
    async fn many_guards(&self, txn: &Txn) -> Result<Result<Revision, Vec<Current>>, StoreError> {
        loop {
            let LatestRevision::Marked(fresh) = self.fresh_feed().await? else {
                // Their place in the comparison is the sentinel.
                restore_sentinel(&self.members, &self.layout).await?;
                continue;
            };
            let (states, at) = self.feed.indexed_all(txn.guards.iter().map(|guard| guard.key()));
            debug_assert!(at >= fresh, "the feed has reached the revision");
            let doubtful: Vec<_> = txn
                .guards
                .iter()
                .zip(states)
                .filter(|(guard, state)| !is_known_to_hold(guard, *state))
                .collect();
            let mut refused = Vec::new();
            for (guard, _) in &doubtful {
                let entry: Option<Entry> = self.read(guard.key()).await?;
                if !guard.holds(entry.as_ref().map(|entry| entry.revision)) {
                    refused.push(Current { key: guard.key().clone(), entry });
                }
            }
            if !refused.is_empty() {
                return Ok(Err(refused));
            }
            // A key that is not loaded yet was read later than at the revision. The transaction
            // compares that revision, so it fails if any key has changed in between.
            if doubtful.iter().all(|(_, state)| *state == Indexed::Unknown) {
                return Ok(Ok(at));
            }
        }
    }
}

/// Returns true if the index shows that a guard holds.
fn is_known_to_hold(guard: &Guard, state: Indexed) -> bool {
    match state {
        Indexed::Unknown => false,
        Indexed::Missing => guard.holds(None),
        Indexed::At(revision) => guard.holds(Some(revision)),
    }
}
