//! Limits on the bytes that a namespace writes to the history of the store.
//!
//! The store bounds the amount: all values of a namespace, with the replaced ones until they are
//! compacted. [`HistoryLimiter`] bounds the rate, so that one namespace neither fills its amount
//! again after each compaction nor keeps the disk busy. It needs no ability of the store.
//!
//! A token bucket for each account holds a quarter of the amount. It refills with half of the
//! amount during the time that compaction retains revisions. A namespace that writes all the time
//! then has at most the amount in its history, because compaction keeps up to one and a half times
//! that duration.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::warn;

use crate::meta::{Status, field};
use crate::store::{Account, AccountUsage, Charge};
use crate::telemetry::history_metrics::RefusedBy;
use crate::telemetry::metrics::Metrics;

/// The prefix of the accounts of namespaces.
const NAMESPACE: &str = "namespace/";
/// The account of writes to cluster-scoped objects.
const CLUSTER: &str = "cluster";
/// The number of parts into which the time until compaction is divided.
const SLOTS: u32 = 32;
/// The shortest time between two log lines about one account.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The account of the objects in a namespace; that of cluster-scoped objects if `namespace` is
/// empty.
pub fn account(namespace: &str) -> Account {
    match namespace {
        "" => Account::new(CLUSTER),
        namespace => Account::new([NAMESPACE, namespace].concat()),
    }
}

/// The settings of a [`HistoryLimiter`].
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimit {
    /// The amount in bytes.
    pub bytes: NonZeroU64,
    /// The time during which compaction retains revisions.
    pub retention: Duration,
    /// The time between two compactions.
    pub compaction_interval: Duration,
}

impl HistoryLimit {
    /// The bytes that a namespace may write at once.
    fn burst(&self) -> u64 {
        (self.bytes.get() / 4).max(1)
    }

    /// The bytes that a namespace may write in each second in the long run.
    fn bytes_per_second(&self) -> u64 {
        let seconds = self.retention.as_secs().max(1);
        (self.bytes.get() / 2 / seconds).max(1)
    }

    /// The time from a change until the value that it replaced is compacted.
    fn time_to_compaction(&self) -> Duration {
        self.retention + self.compaction_interval
    }
}

/// Limits the bytes that each account writes in a time, and explains refusals of the store.
pub struct HistoryLimiter {
    limit: HistoryLimit,
    metrics: Arc<Metrics>,
    accounts: Mutex<AccountHistories>,
}

#[derive(Default)]
struct AccountHistories {
    by_account: HashMap<Account, AccountHistory>,
    /// The number of accounts at which idle ones are removed.
    purge_at: usize,
}

/// The recent writes of an account.
#[derive(Debug)]
struct AccountHistory {
    /// Bytes written and not yet refilled, as of `updated`.
    debt: u64,
    updated: Instant,
    /// Bytes that were replaced and are not compacted yet, in the order of time.
    replaced: VecDeque<(Instant, u64)>,
    logged: Option<Instant>,
}

impl HistoryLimiter {
    /// A limiter without recorded writes.
    pub fn new(limit: HistoryLimit, metrics: Arc<Metrics>) -> Self {
        Self { limit, metrics, accounts: Mutex::default() }
    }

    /// Takes the bytes of a write from the bucket of its account. A write is admitted while the
    /// bucket is not empty, whatever its size. Writes without a limit only take from the bucket.
    ///
    /// # Errors
    /// 429 with the time until the bucket is not empty.
    pub fn admit(&self, charge: &Charge, bytes: u64, now: Instant) -> Result<(), Status> {
        let Some(account) = charge.account().filter(|_| bytes > 0) else { return Ok(()) };
        let mut accounts = self.accounts.lock();
        let history = accounts.of(account, &self.limit, now);
        let burst = self.limit.burst();
        if history.debt >= burst && matches!(charge, Charge::Limited(_)) {
            let rate = self.limit.bytes_per_second();
            let wait = Duration::from_secs((history.debt - burst) / rate + 1);
            self.record_refusal(history, account, RefusedBy::Rate, now);
            return Err(too_fast(account, rate, wait));
        }
        history.debt = history.debt.saturating_add(bytes);
        Ok(())
    }

    /// Returns the bytes of an admitted write that stored nothing.
    pub fn refund(&self, charge: &Charge, bytes: u64, now: Instant) {
        let Some(account) = charge.account().filter(|_| bytes > 0) else { return };
        let mut accounts = self.accounts.lock();
        let history = accounts.of(account, &self.limit, now);
        history.debt = history.debt.saturating_sub(bytes);
    }

    /// Records that a write replaced values of some bytes.
    pub fn record_replaced(&self, charge: &Charge, bytes: u64, now: Instant) {
        let Some(account) = charge.account().filter(|_| bytes > 0) else { return };
        let width = self.limit.time_to_compaction() / SLOTS;
        let mut accounts = self.accounts.lock();
        let replaced = &mut accounts.of(account, &self.limit, now).replaced;
        match replaced.back_mut() {
            Some((then, sum)) if now.saturating_duration_since(*then) < width => *sum += bytes,
            _ => replaced.push_back((now, bytes)),
        }
    }

    /// The Status for a write that the store refuses with
    /// [`AccountFull`](crate::store::StoreError::AccountFull): 429 with the time until enough of
    /// the history of the account is compacted. If that does not suffice, it is the time until all
    /// of it is.
    pub fn too_much(
        &self,
        account: &Account,
        usage: AccountUsage,
        needed: u64,
        now: Instant,
    ) -> Status {
        let limit = self.limit.bytes.get();
        let excess = usage.total().saturating_add(needed).saturating_sub(limit);
        let mut accounts = self.accounts.lock();
        let history = accounts.of(account, &self.limit, now);
        let wait = history.time_until_compacted(excess, self.limit.time_to_compaction(), now);
        self.record_refusal(history, account, RefusedBy::Amount, now);
        too_much(account, usage, limit, wait)
    }

    fn record_refusal(
        &self,
        history: &mut AccountHistory,
        account: &Account,
        by: RefusedBy,
        now: Instant,
    ) {
        self.metrics.history().record_refusal(by);
        if history.logged.is_none_or(|then| now.saturating_duration_since(then) >= LOG_INTERVAL) {
            history.logged = Some(now);
            warn!(%account, limit = by.name(), "writes of an account are refused, see --max-history-bytes-per-namespace");
        }
    }
}

impl AccountHistories {
    /// The recent writes of an account as of now.
    fn of(&mut self, account: &Account, limit: &HistoryLimit, now: Instant) -> &mut AccountHistory {
        const MIN_ACCOUNTS: usize = 1024;
        if self.by_account.len() >= self.purge_at.max(MIN_ACCOUNTS) {
            self.by_account.retain(|_, history| {
                history.advance(limit, now);
                !history.is_idle()
            });
            self.purge_at = self.by_account.len() * 2;
        }
        if !self.by_account.contains_key(account) {
            self.by_account.insert(account.clone(), AccountHistory::new(now));
        }
        let history = self.by_account.get_mut(account).expect("the account was inserted");
        history.advance(limit, now);
        history
    }
}

impl AccountHistory {
    fn new(now: Instant) -> Self {
        Self { debt: 0, updated: now, replaced: VecDeque::new(), logged: None }
    }

    /// Refills the bucket, and forgets what has been compacted.
    fn advance(&mut self, limit: &HistoryLimit, now: Instant) {
        let elapsed = now.saturating_duration_since(self.updated);
        let refilled = elapsed.as_millis() * u128::from(limit.bytes_per_second()) / 1000;
        if refilled > 0 {
            self.debt = self.debt.saturating_sub(u64::try_from(refilled).unwrap_or(u64::MAX));
            self.updated = now;
        }
        let retained = limit.time_to_compaction();
        while let Some((then, _)) = self.replaced.front()
            && now.saturating_duration_since(*then) >= retained
        {
            self.replaced.pop_front();
        }
    }

    fn is_idle(&self) -> bool {
        self.debt == 0 && self.replaced.is_empty()
    }

    /// The time until replaced values of some bytes are compacted; until all are if they are fewer.
    fn time_until_compacted(&self, bytes: u64, retained: Duration, now: Instant) -> Duration {
        let mut sum = 0_u64;
        let enough = self.replaced.iter().find(|(_, replaced)| {
            sum = sum.saturating_add(*replaced);
            sum >= bytes
        });
        enough.map_or(retained, |(then, _)| {
            retained.saturating_sub(now.saturating_duration_since(*then))
        })
    }
}

fn too_fast(account: &Account, rate: u64, wait: Duration) -> Status {
    let text = format!(
        "{} write more than {rate} bytes per second, the rate that --max-history-bytes-per-namespace of the server allows: \
         retry later, write less often or smaller objects, or raise the limit",
        holder(account)
    );
    refusal(text, wait)
}

fn too_much(account: &Account, usage: AccountUsage, limit: u64, wait: Duration) -> Status {
    let AccountUsage { current, history } = usage;
    let text = format!(
        "{} take {current} bytes of storage, and {history} more until replaced and deleted ones are compacted, and \
         --max-history-bytes-per-namespace of the server allows {limit}: retry later, delete image streams or images, or \
         raise the limit",
        holder(account)
    );
    refusal(text, wait)
}

/// The objects of an account.
fn holder(account: &Account) -> String {
    match account.as_str().strip_prefix(NAMESPACE) {
        Some(namespace) => {
            format!(
                "the image streams of namespace {} and the images that it pushed first",
                field::quote(namespace)
            )
        }
        None => "the images that no namespace pushed".to_owned(),
    }
}

fn refusal(text: String, wait: Duration) -> Status {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let seconds = u32::try_from(seconds.max(1)).unwrap_or(u32::MAX);
    Status::failure(429, "TooManyRequests", text).retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4,000 bytes, of which 1,000 at once and 20 each second.
    fn limiter() -> HistoryLimiter {
        let limit = HistoryLimit {
            bytes: NonZeroU64::new(4000).unwrap(),
            retention: Duration::from_secs(100),
            compaction_interval: Duration::from_secs(28),
        };
        HistoryLimiter::new(limit, Arc::new(Metrics::new()))
    }

    fn limited(namespace: &str) -> Charge {
        Charge::Limited(account(namespace))
    }

    fn retry_after(refused: &Status) -> u32 {
        assert_eq!(refused.code, 429, "{}", refused.message);
        refused.details.as_ref().unwrap().retry_after_seconds
    }

    #[test]
    fn bucket_refuses_when_it_is_empty_and_refills() {
        let (limiter, start) = (limiter(), Instant::now());
        let admit = |namespace: &str, bytes, seconds| {
            limiter.admit(&limited(namespace), bytes, start + Duration::from_secs(seconds))
        };
        admit("a", 900, 0).unwrap();
        admit("a", 300, 0).unwrap();
        let refused = admit("a", 1, 0).unwrap_err();
        assert_eq!(retry_after(&refused), 11, "200 bytes too many at 20 each second");
        assert!(refused.message.contains("namespace \"a\"") && refused.message.contains("20"));
        admit("b", 1, 0).unwrap();
        admit("", 1, 0).unwrap();
        assert_eq!(retry_after(&admit("a", 1, 9).unwrap_err()), 2);
        admit("a", 1, 11).unwrap();
    }

    #[test]
    fn deletions_are_admitted_and_charged() {
        let (limiter, now) = (limiter(), Instant::now());
        limiter.admit(&limited("a"), 1000, now).unwrap();
        limiter.admit(&Charge::Unlimited(account("a")), 200, now).unwrap();
        assert_eq!(retry_after(&limiter.admit(&limited("a"), 1, now).unwrap_err()), 11);
        limiter.admit(&limited("a"), 0, now).unwrap();
        limiter.admit(&Charge::Nobody, 5000, now).unwrap();
    }

    #[test]
    fn refunded_write_costs_nothing() {
        let (limiter, now) = (limiter(), Instant::now());
        for _ in 0..3 {
            limiter.admit(&limited("a"), 1000, now).unwrap();
            limiter.refund(&limited("a"), 1000, now);
        }
    }

    #[test]
    fn full_account_waits_for_enough_compaction() {
        let (limiter, start) = (limiter(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let usage = AccountUsage { current: 3000, history: 900 };
        let wait = |needed, seconds| {
            retry_after(&limiter.too_much(&account("a"), usage, needed, at(seconds)))
        };
        assert_eq!(wait(101, 0), 128, "nothing is known about its history");
        limiter.record_replaced(&limited("a"), 500, at(0));
        limiter.record_replaced(&limited("a"), 400, at(60));
        assert_eq!(wait(101, 61), 67, "the first 500 bytes suffice");
        assert_eq!(wait(700, 61), 127, "all 900 bytes are needed");
        assert_eq!(wait(500, 130), 58, "the first are compacted");
        assert_eq!(wait(2000, 130), 128, "no compaction suffices");
    }

    #[test]
    fn idle_accounts_are_forgotten() {
        let (limiter, start) = (limiter(), Instant::now());
        for number in 0..3000_u64 {
            let now = start + Duration::from_secs(number);
            limiter.admit(&limited(&number.to_string()), 20, now).unwrap();
        }
        assert!(limiter.accounts.lock().by_account.len() <= 1024);
    }
}
