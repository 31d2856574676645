//! Revisioned bytes: the part of etcd that Kubernetes relies on, as one small trait.
//!
//! This layer knows keys, values and revisions, but neither Kubernetes nor JSON nor images, and
//! uses no other layer. [`Store`] is the contract of every backend; `tests/store.rs` verifies each
//! promise on each backend. [`Elector`] elects one of the replicas that share a store. Abilities
//! that a backend may lack are traits of their own: [`Compact`], [`Accounting`], [`Backup`],
//! [`Scan`], [`DiskUsage`], [`StorageQuota`]. [`open()`] opens a store with its abilities,
//! [`maintenance()`] works on the folder of a stopped one, and [`in_memory()`] makes one for tests.
//! Only `open.rs` names backends.

mod account;
pub mod archive;
mod backup;
mod compaction;
mod contract;
mod disk_usage;
mod election;
pub mod embedded;
mod entry;
mod error;
#[cfg(feature = "etcd")]
pub mod etcd;
mod etcd_options;
mod event;
mod health;
mod incident;
mod maintenance;
mod open;
mod opened;
pub mod partial_file;
pub mod private_file;
mod range;
mod read_point;
mod scan;
mod storage_quota;
mod txn;

pub use account::{Account, AccountUsage, Accounting, Charge, MAX_ACCOUNT_BYTES};
pub use archive::{ArchiveError, ArchiveHead, ArchiveReader, ArchiveSummary, MissingEntry};
pub use backup::{Backup, BackupError};
pub use compaction::Compact;
pub use contract::{Store, Watch};
pub use disk_usage::{
    DiskUsage, FileSize, FileStats, FreeSpace, RESERVE_BYTES, Reserve, free_space,
};
pub use election::{Elector, SoleReplica, Term, TermGuard};
pub use embedded::{FileOpener, OpenFile};
pub use entry::{Entry, Key, Lookup, MAX_KEY_BYTES, MAX_VALUE_BYTES, Revision};
pub use error::{OpenError, StoreError, WatchError};
pub use etcd_options::{EtcdCompaction, EtcdOptions, EtcdTls, SharedKeys};
pub use event::{Batch, Event};
pub use health::StoreHealth;
pub use incident::{Incident, Observer};
pub use maintenance::{
    DefragReport, FsckReport, Maintenance, NewPlace, Problems, RestoreError, RestoreOptions,
    Restored, SpaceUse,
};
pub use open::{etcd_store_exists, in_memory, maintenance, open};
pub use opened::{Backend, OpenOptions, Opened};
pub use range::{At, Outline, Page, Range};
pub use read_point::ReadPoint;
pub use scan::{Scan, ScanProgress, ScanVisitor, Scanner, ValueChange};
pub use storage_quota::{QuotaUsage, StorageQuota};
pub use txn::{Change, Current, Guard, Outcome, Txn};
