//! The memory and processor time that one request takes, and the account that it is charged to.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::meta::Status;
use crate::runtime::{BudgetAccount, FairShare, Flow, MemoryUse};

/// The size of stored objects above which a request is large, in bytes. Objects of this size take a
/// few milliseconds to decode.
pub const LARGE_OBJECT: usize = 256 << 10;
/// The memory of a decoded body above which a request is large, in bytes.
const LARGE_VALUES: u64 = 1 << 20;

/// Memory of a request that is not charged, in bytes. The limits on requests in flight bound its
/// sum: 37 MiB for 400 reads and 200 writes.
const FREE_OF_REQUEST: u64 = 64 << 10;
/// Memory of a watch that is not charged, in bytes: 39 MiB for 10,000 watches.
const FREE_OF_WATCH: u64 = 4 << 10;

/// Memory of a request for each stored byte of the objects that it holds: the bytes, the decoded
/// objects, and their encodings. `tests/memory.rs` compares these factors with measured peaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFactor {
    /// A read.
    Read = 16,
    /// A read in YAML, which is encoded from JSON values.
    ReadYaml = 32,
    /// A write without a patch.
    Write = 40,
    /// A patch, for which the object exists as JSON values before and after, too.
    Patch = 80,
}

/// Memory for each stored byte of an object of which only the metadata are decoded.
const METADATA_FACTOR: u64 = 4;

/// The work of one request, as far as it is known. Clones share the state.
#[derive(Clone, Debug)]
pub struct Workload(Arc<WorkloadState>);

/// The kind of a request, which determines its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A watch. It is never refused, but waits for memory.
    Watch,
}

#[derive(Debug)]
struct WorkloadState {
    /// None for work that is not charged, such as that of CLI commands.
    account: Option<BudgetAccount>,
    kind: WorkKind,
    factor: MemoryFactor,
    is_large: AtomicBool,
    in_slot: AtomicBool,
    /// The request can no longer be refused.
    is_continued: AtomicBool,
    /// Memory of decoded values that counts beside stored objects, in bytes.
    values: AtomicU64,
    /// Memory that the request may use besides the decoded body, in bytes; more than the share if
    /// it exceeds all limits.
    reserved: AtomicU64,
    share: Mutex<Option<FairShare>>,
    /// The memory of a decoded body that is not small. The request keeps it while it waits for
    /// other memory, because it keeps the values.
    body: Mutex<Option<FairShare>>,
    /// Held while the request acquires memory, so that its concurrent parts wait for the same share.
    acquiring: tokio::sync::Mutex<()>,
}

/// Bytes with the memory that they occupy, which is released with the last reference to them.
struct ChargedBytes {
    bytes: Bytes,
    _share: FairShare,
}

/// The same bytes, which keep this memory until the last reference to them is dropped.
pub fn charged_bytes(bytes: Bytes, share: FairShare) -> Bytes {
    Bytes::from_owner(ChargedBytes { bytes, _share: share })
}

impl Workload {
    /// The workload of a request whose memory is charged.
    pub fn charged(account: BudgetAccount, kind: WorkKind, factor: MemoryFactor) -> Self {
        Self::new(Some(account), kind, factor)
    }

    fn new(account: Option<BudgetAccount>, kind: WorkKind, factor: MemoryFactor) -> Self {
        let in_slot = account.is_none();
        Self(Arc::new(WorkloadState {
            account,
            kind,
            factor,
            is_large: AtomicBool::new(false),
            in_slot: AtomicBool::new(in_slot),
            is_continued: AtomicBool::new(kind == WorkKind::Watch),
            values: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            share: Mutex::new(None),
            body: Mutex::new(None),
            acquiring: tokio::sync::Mutex::new(()),
        }))
    }

    /// The kind of the request.
    pub fn kind(&self) -> WorkKind {
        self.0.kind
    }

    /// The account that the memory is charged to; none for work that is not charged.
    pub(super) fn account(&self) -> Option<&BudgetAccount> {
        self.0.account.as_ref()
    }

    /// The user of the request.
    pub(super) fn flow(&self) -> Flow {
        self.0.account.as_ref().map_or(Flow::INTERNAL, |account| account.flow)
    }

    /// Reserves memory for the values that the body decodes to, until the request ends. It must be
    /// the first reservation of the request.
    ///
    /// # Errors
    /// 429 if the memory is used up.
    pub async fn reserve_body(&self, bytes: u64) -> Result<(), Status> {
        let Some(BudgetAccount { budget, flow }) = &self.0.account else { return Ok(()) };
        if bytes <= self.free() {
            self.0.values.store(bytes, Ordering::Relaxed);
            return Ok(());
        }
        let share = budget.acquire(MemoryUse::Values, *flow, bytes).await;
        *self.0.body.lock() = Some(share.map_err(|_| Status::too_many_requests())?);
        if bytes > LARGE_VALUES {
            self.enter_slot().await;
        }
        Ok(())
    }

    /// Returns true if the request may hold this many bytes of stored objects.
    pub fn fits(&self, stored: usize) -> bool {
        self.covers(self.cost(stored)) && (stored <= LARGE_OBJECT || self.is_in_slot())
    }

    /// Reserves memory for this many bytes of stored objects, and waits for a slot of the pool if
    /// they are large. What the request has reserved before is released first, so callers should
    /// hold no lock and little memory.
    ///
    /// # Errors
    /// 429 if the memory is used up.
    pub async fn reserve(&self, stored: usize) -> Result<(), Status> {
        self.reserve_memory(self.cost(stored)).await?;
        if stored > LARGE_OBJECT {
            self.enter_slot().await;
        }
        Ok(())
    }

    /// Reserves this many bytes of memory in all. See [`Workload::reserve`].
    ///
    /// # Errors
    /// 429 if the memory is used up.
    pub async fn reserve_memory(&self, bytes: u64) -> Result<(), Status> {
        match &self.0.account {
            // Boxed, because small requests never get here.
            Some(account) if !self.covers(bytes) => Box::pin(self.acquire(account, bytes)).await,
            _ => Ok(()),
        }
    }

    /// Reserves memory for this many bytes of decoded values, besides what the request has
    /// reserved. See [`Workload::reserve`].
    ///
    /// # Errors
    /// 429 if the memory is used up.
    pub async fn reserve_more(&self, bytes: u64) -> Result<(), Status> {
        let Some(account) = &self.0.account else { return Ok(()) };
        let _turn = self.0.acquiring.lock().await;
        let values = self.0.values.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let total = self.0.reserved.load(Ordering::Relaxed).saturating_add(bytes).max(values);
        if !self.covers(total) {
            Box::pin(self.acquire_in_turn(account, total)).await?;
        }
        if bytes > LARGE_VALUES {
            self.enter_slot().await;
        }
        Ok(())
    }

    async fn acquire(&self, account: &BudgetAccount, bytes: u64) -> Result<(), Status> {
        let _turn = self.0.acquiring.lock().await;
        match self.covers(bytes) {
            true => Ok(()),
            false => self.acquire_in_turn(account, bytes).await,
        }
    }

    async fn acquire_in_turn(&self, account: &BudgetAccount, bytes: u64) -> Result<(), Status> {
        self.release();
        let BudgetAccount { budget, flow } = account;
        let share = if self.0.is_continued.load(Ordering::Relaxed) {
            budget.acquire_continued(self.r#use(), *flow, bytes).await
        } else {
            let acquired = budget.acquire(self.r#use(), *flow, bytes).await;
            acquired.map_err(|_| Status::too_many_requests())?
        };
        self.hold(share, bytes);
        Ok(())
    }

    fn hold(&self, share: FairShare, bytes: u64) {
        *self.0.share.lock() = Some(share);
        self.0.reserved.store(bytes, Ordering::Relaxed);
    }

    fn r#use(&self) -> MemoryUse {
        match self.0.kind {
            WorkKind::Read | WorkKind::Write => MemoryUse::Requests,
            WorkKind::Watch => MemoryUse::Watches,
        }
    }

    /// Reserves this many bytes of memory in all if they are free; false if the request would wait.
    pub fn try_reserve(&self, bytes: u64) -> bool {
        let Some(account) = self.0.account.as_ref().filter(|_| !self.covers(bytes)) else {
            return true;
        };
        self.release();
        let share = account.budget.try_acquire(self.r#use(), account.flow, bytes);
        let is_free = share.is_some();
        if let Some(share) = share {
            self.hold(share, bytes);
        }
        is_free
    }

    /// Reserves this many bytes of memory in all for a request that can no longer be refused, after
    /// waiting as long as necessary. See [`Workload::reserve`].
    pub async fn reserve_continued(&self, bytes: u64) {
        if let Some(account) = self.0.account.as_ref().filter(|_| !self.covers(bytes)) {
            self.release();
            let share = account.budget.acquire_continued(self.r#use(), account.flow, bytes).await;
            self.hold(share, bytes);
        }
    }

    /// Returns true if the request has reserved this much memory.
    pub fn covers(&self, bytes: u64) -> bool {
        bytes <= self.free()
            || self.0.account.is_none()
            || bytes <= self.0.reserved.load(Ordering::Relaxed)
    }

    /// Releases memory beyond this many bytes.
    pub fn shrink_to(&self, bytes: u64) {
        if self.0.reserved.fetch_min(bytes, Ordering::Relaxed) > bytes
            && let Some(share) = self.0.share.lock().as_mut()
        {
            share.shrink_to(bytes);
        }
    }

    /// Releases all memory.
    pub fn release(&self) {
        if self.0.reserved.swap(0, Ordering::Relaxed) > 0 {
            drop(self.0.share.lock().take());
        }
    }

    /// Takes over a part of the memory that the request has reserved; none if it is not charged.
    pub fn split_off(&self, bytes: u64) -> Option<FairShare> {
        let Some(share) = self.0.share.lock().as_mut().map(|share| share.split(bytes)) else {
            return self.0.body.lock().as_mut().map(|share| share.split(bytes));
        };
        self.0
            .reserved
            .fetch_sub(bytes.min(self.0.reserved.load(Ordering::Relaxed)), Ordering::Relaxed);
        Some(share)
    }

    /// The same bytes, which keep a part of the reserved memory until they are dropped.
    pub fn charge(&self, bytes: Bytes) -> Bytes {
        if bytes.len() as u64 <= self.free() {
            return bytes;
        }
        match self.split_off(bytes.len() as u64) {
            Some(share) => charged_bytes(bytes, share),
            None => bytes,
        }
    }

    /// Marks the request as one that can no longer be refused, such as a list of which a part is
    /// sent. It waits for memory as long as necessary.
    pub fn continue_always(&self) {
        self.0.is_continued.store(true, Ordering::Relaxed);
    }

    /// Waits for a slot of the pool unless the request has one.
    pub async fn enter_slot(&self) {
        poll_fn(|context| {
            if self.is_in_slot() {
                return Poll::Ready(());
            }
            self.0.is_large.store(true, Ordering::Relaxed);
            // The pool polls again once it has a slot; combinators in between must poll, too.
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Makes the request large before its work begins.
    pub fn set_large(&self) {
        self.0.is_large.store(true, Ordering::Relaxed);
    }

    /// Returns true if the request needs a slot.
    pub(super) fn is_large(&self) -> bool {
        self.0.is_large.load(Ordering::Relaxed)
    }

    /// Records that the request is polled in slots from now on.
    pub(super) fn slot_entered(&self) {
        self.0.in_slot.store(true, Ordering::Relaxed);
    }

    /// Makes the request small until its next part proves to be large.
    pub(super) fn begin_part(&self) {
        self.0.is_large.store(false, Ordering::Relaxed);
        self.0.in_slot.store(self.0.account.is_none(), Ordering::Relaxed);
    }

    fn is_in_slot(&self) -> bool {
        self.0.in_slot.load(Ordering::Relaxed)
    }

    /// The memory of stored objects of this size while the request decodes and encodes them.
    pub fn cost_of_object(&self, stored: usize) -> u64 {
        (self.0.factor as u64).saturating_mul(stored as u64)
    }

    /// The memory of a stored object of this size while the request decodes its metadata.
    pub fn cost_of_metadata(&self, stored: usize) -> u64 {
        METADATA_FACTOR.saturating_mul(stored as u64)
    }

    /// The memory of a request with this many bytes of stored objects.
    fn cost(&self, stored: usize) -> u64 {
        self.0.values.load(Ordering::Relaxed).saturating_add(self.cost_of_object(stored))
    }

    fn free(&self) -> u64 {
        match self.0.kind {
            WorkKind::Read | WorkKind::Write => FREE_OF_REQUEST,
            WorkKind::Watch => FREE_OF_WATCH,
        }
    }
}

/// The workload outside of a pool, such as that of CLI commands: it never waits.
impl Default for Workload {
    fn default() -> Self {
        Self::new(None, WorkKind::Write, MemoryFactor::Write)
    }
}

impl AsRef<[u8]> for ChargedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU32;

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;
    use crate::runtime::{MemoryBudget, PriorityLevel};
    use crate::telemetry::metrics::Metrics;

    const MIB: u64 = 1 << 20;

    /// The account of a user with a budget of its own.
    pub(crate) fn account(id: u64) -> BudgetAccount {
        let budget = MemoryBudget::new(512 * MIB, &Arc::new(Metrics::new()));
        BudgetAccount {
            budget,
            flow: Flow { level: PriorityLevel::Users, id, shares: NonZeroU32::MIN },
        }
    }

    #[tokio::test]
    async fn small_requests_hold_no_memory() {
        let load = Workload::charged(account(1), WorkKind::Read, MemoryFactor::Read);
        assert!(load.fits(FREE_OF_REQUEST as usize / MemoryFactor::Read as usize));
        load.reserve_memory(FREE_OF_REQUEST).await.unwrap();
        assert!(load.split_off(1).is_none());
        let bytes = Bytes::from(vec![0; FREE_OF_REQUEST as usize]);
        assert_eq!(load.charge(bytes.clone()).as_ptr(), bytes.as_ptr());
    }

    #[tokio::test]
    async fn memory_is_held_until_the_last_byte_is_dropped() {
        let account = account(1);
        let load = Workload::charged(account.clone(), WorkKind::Read, MemoryFactor::Read);
        load.reserve_memory(70 * MIB).await.unwrap();
        let sent = load.charge(Bytes::from(vec![0; 60 << 20]));
        drop(load);
        let other = Workload::charged(account, WorkKind::Read, MemoryFactor::Read);
        let mut waiting = Box::pin(other.reserve_memory(40 * MIB));
        let tail = sent.slice(60 << 19..);
        drop(sent);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(tail);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn request_releases_its_memory_before_it_waits_for_more() {
        let account = account(1);
        let loads = [(); 2]
            .map(|()| Workload::charged(account.clone(), WorkKind::Write, MemoryFactor::Write));
        for load in &loads {
            load.reserve_memory(15 * MIB).await.unwrap();
        }
        let grown = loads.iter().map(|load| async move {
            load.reserve_memory(30 * MIB).await.unwrap();
            load.release();
        });
        join_all(grown).await;
    }

    #[tokio::test]
    async fn additional_memory_counts_for_later_objects() {
        let load = Workload::charged(account(1), WorkKind::Write, MemoryFactor::Write);
        let half = FREE_OF_REQUEST / 2;
        load.reserve_more(half).await.unwrap();
        assert!(load.split_off(0).is_none(), "the first bytes are free");
        let parts = [(); 3].map(|()| load.reserve_more(half));
        assert!(join_all(parts).await.into_iter().all(|each| each.is_ok()));
        assert!(load.covers(4 * half) && !load.covers(4 * half + 1));
        load.reserve(1).await.unwrap();
        assert!(load.fits(1) && !load.fits(2));
    }

    #[tokio::test]
    async fn decoded_body_stays_charged_while_the_request_waits() {
        let account = account(1);
        let write = |account: &BudgetAccount| {
            let load = Workload::charged(account.clone(), WorkKind::Write, MemoryFactor::Write);
            load.slot_entered();
            load
        };
        let (holder, waiter, next) = (write(&account), write(&account), write(&account));
        holder.reserve_memory(30 * MIB).await.unwrap();
        waiter.reserve_body(25 * MIB).await.unwrap();
        let mut waiting = Box::pin(waiter.reserve_memory(30 * MIB));
        assert!(waiting.as_mut().now_or_never().is_none());
        let mut body = Box::pin(next.reserve_body(25 * MIB));
        assert!(body.as_mut().now_or_never().is_none(), "the body of another request is held");
        drop(holder);
        waiting.await.unwrap();
        drop(waiter);
        body.await.unwrap();
    }

    #[tokio::test]
    async fn response_to_a_create_is_charged() {
        let load = Workload::charged(account(1), WorkKind::Write, MemoryFactor::Write);
        load.reserve_body(MIB).await.unwrap();
        assert!(load.split_off(MIB).is_some());
    }

    #[tokio::test]
    async fn body_counts_beside_stored_objects() {
        let load = Workload::charged(account(1), WorkKind::Write, MemoryFactor::Write);
        load.reserve_body(FREE_OF_REQUEST).await.unwrap();
        assert!(!load.fits(1));
        load.reserve(1).await.unwrap();
        assert!(load.fits(1) && !load.fits(2));
    }
}
