//! The space quota of etcd.
//!
//! etcd that has used up its quota refuses to put anything until an operator intervenes. So writes of
//! values are refused before: large ones above four fifths of the quota, and all of them shortly
//! before its end. Deletions go on, see `write`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::RwLock;

use crate::store::{Change, Incident, Observer, QuotaUsage, StorageQuota, StoreError, Txn};

use super::error::{CallError, NO_SPACE};
use super::members::Members;

/// The interval at which members are asked for their size.
const INTERVAL: Duration = Duration::from_secs(5);
/// The interval while no member has answered.
const RETRY: Duration = Duration::from_millis(200);
/// The size of a transaction above which it is large, in bytes.
const LARGE: u64 = 64 << 10;
/// The part of the quota above which large transactions are refused, in percent.
const SCARCE_PERCENT: u64 = 80;
/// The part of the quota that the file may have before large transactions are refused, in percent.
const SCARCE_FILE_PERCENT: u64 = 90;
/// The part of the quota above which all transactions with values are refused, in percent.
const OUT_PERCENT: u64 = 95;
/// The bytes that a transaction takes in etcd, as a multiple of its own.
const OVERHEAD: u64 = 2;

/// The space of an etcd cluster.
pub(super) struct EtcdSpace {
    members: Arc<Members>,
    observer: Observer,
    /// The fullest member; `None` until one has answered, or if etcd reports no quota.
    last: RwLock<Option<EtcdSize>>,
    /// Bytes written since the last answer.
    written: AtomicU64,
}

/// The size of a member, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EtcdSize {
    /// The size of the data file, which the quota limits.
    pub(super) file: u64,
    /// The bytes of the file in pages that are in use.
    pub(super) used: u64,
    /// The quota of the file; 0 if the member does not report it, as before etcd 3.6.
    pub(super) quota: u64,
    /// True if the quota was exceeded, and etcd refuses writes until its alarm is disarmed.
    pub(super) is_alarmed: bool,
}

/// The room for values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EtcdRoom {
    Plenty,
    /// Large transactions are refused.
    Scarce,
    /// All transactions with values are refused.
    Out,
}

impl EtcdSize {
    fn room(self, written: u64) -> EtcdRoom {
        let written = written.saturating_mul(OVERHEAD);
        let percent = |part: u64| part.saturating_mul(100) / self.quota.max(1);
        // The file never shrinks by itself. It grows little while it has free pages, but large values
        // may not fit into them.
        let used = percent(self.used.saturating_add(written));
        let growth = written.saturating_sub(self.file.saturating_sub(self.used));
        let file = percent(self.file.saturating_add(growth));
        if self.is_alarmed || used >= OUT_PERCENT || file >= OUT_PERCENT {
            EtcdRoom::Out
        } else if used >= SCARCE_PERCENT
            || percent(self.file.saturating_add(written)) >= SCARCE_FILE_PERCENT
        {
            EtcdRoom::Scarce
        } else {
            EtcdRoom::Plenty
        }
    }

    /// An order of members by their need of space.
    fn fullness(&self) -> (bool, u64) {
        let thousandths = self.used.saturating_mul(1000) / self.quota.max(1);
        (self.is_alarmed, thousandths)
    }

    /// The remedy for lack of space.
    fn remedy(self) -> String {
        if self.is_alarmed {
            return NO_SPACE.to_owned();
        }
        let Self { file, used, quota, .. } = self;
        format!(
            "etcd uses {used} bytes in a file of {file} bytes, its quota is {quota}: delete objects, compact and defragment etcd, or raise its --quota-backend-bytes"
        )
    }
}

impl EtcdSpace {
    /// The space of these members, of which nothing is known yet.
    pub(super) fn new(members: Arc<Members>, observer: Observer) -> Self {
        Self { members, observer, last: RwLock::default(), written: AtomicU64::new(0) }
    }

    /// Asks all members at intervals. Runs until it is dropped.
    pub(super) async fn follow(self: Arc<Self>) {
        loop {
            let members = 0..self.members.count();
            let sizes = join_all(members.map(|member| self.size_of(member))).await;
            let sizes: Vec<EtcdSize> = sizes.into_iter().flatten().collect();
            let has_answer = !sizes.is_empty();
            let limited = sizes.into_iter().filter(|size| size.quota > 0);
            if let Some(fullest) = limited.max_by_key(EtcdSize::fullness) {
                *self.last.write() = Some(fullest);
                self.written.store(0, Ordering::Relaxed);
            }
            tokio::time::sleep(if has_answer { INTERVAL } else { RETRY }).await;
        }
    }

    /// The size of the fullest member; `None` if it is not known.
    pub(super) fn size(&self) -> Option<EtcdSize> {
        *self.last.read()
    }

    /// Refuses a transaction for which there is too little room.
    ///
    /// # Errors
    /// `Full` with the size, the quota and the remedy.
    pub(super) fn admit(&self, txn: &Txn) -> Result<(), StoreError> {
        let bytes: u64 = txn.changes.iter().map(Change::stored_bytes).sum();
        let Some(size) = self.size().filter(|_| bytes > 0) else { return Ok(()) };
        let written = self.written.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        match size.room(written) {
            EtcdRoom::Plenty => return Ok(()),
            EtcdRoom::Scarce if bytes <= LARGE => return Ok(()),
            EtcdRoom::Scarce | EtcdRoom::Out => {}
        }
        self.written.fetch_sub(bytes, Ordering::Relaxed);
        (self.observer.0)(Incident::Full);
        Err(StoreError::Full { reason: size.remedy() })
    }

    /// The error of a transaction for which etcd has no space.
    pub(super) fn used_up(&self) -> StoreError {
        (self.observer.0)(Incident::Full);
        CallError::NoSpace.into()
    }

    /// The lack of space, for operators.
    pub(super) fn warning(&self) -> Option<String> {
        let size = self.size()?;
        let refused = match size.room(self.written.load(Ordering::Relaxed)) {
            EtcdRoom::Plenty => return None,
            EtcdRoom::Scarce => "large writes are refused",
            EtcdRoom::Out => "only deletions are accepted",
        };
        Some(format!("{refused}: {}", size.remedy()))
    }

    /// The size of a member; `None` without an answer.
    async fn size_of(&self, member: usize) -> Option<EtcdSize> {
        let status =
            self.members.once(member, |mut clients: super::members::MemberClients| async move {
                clients.maintenance.status().await
            });
        let status =
            tokio::time::timeout(self.members.request_timeout(), status).await.ok()?.ok()?;
        let bytes = |number: i64| u64::try_from(number).unwrap_or_default();
        Some(EtcdSize {
            file: bytes(status.db_size()),
            used: bytes(status.raft_used_db_size()),
            quota: bytes(status.db_size_quota()),
            is_alarmed: status.errors().iter().any(|error| error.contains("NOSPACE")),
        })
    }
}

impl StorageQuota for EtcdSpace {
    fn usage(&self) -> Option<QuotaUsage> {
        let EtcdSize { file, used, quota, .. } = self.size()?;
        Some(QuotaUsage { size: file, used, quota })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(file: u64, used: u64) -> EtcdSize {
        EtcdSize { file, used, quota: 1000, is_alarmed: false }
    }

    #[test]
    fn room_depends_on_used_bytes_and_on_the_file() {
        assert_eq!(size(790, 790).room(0), EtcdRoom::Plenty);
        assert_eq!(size(790, 790).room(5), EtcdRoom::Scarce);
        assert_eq!(size(899, 799).room(0), EtcdRoom::Plenty, "the file has free pages");
        assert_eq!(size(899, 100).room(1), EtcdRoom::Scarce, "the file may grow all the same");
        assert_eq!(size(949, 100).room(300), EtcdRoom::Scarce, "free pages are used first");
        assert_eq!(size(950, 100).room(0), EtcdRoom::Out, "etcd counts the file");
        assert_eq!(size(900, 900).room(25), EtcdRoom::Out);
        assert_eq!(EtcdSize { is_alarmed: true, ..size(1, 1) }.room(0), EtcdRoom::Out);
    }
}
