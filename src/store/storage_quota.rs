//! The quota of a backend that limits its own size.

/// The ability to report the size of a store with a quota.
pub trait StorageQuota: Send + Sync + 'static {
    /// The latest report; `None` before the first one. Cheap.
    fn usage(&self) -> Option<QuotaUsage>;
}

/// The size of a store and its quota, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaUsage {
    /// The size, which the quota limits. Unused parts count.
    pub size: u64,
    /// The part of the size that is in use, including past revisions.
    pub used: u64,
    /// The most that the size may be.
    pub quota: u64,
}
