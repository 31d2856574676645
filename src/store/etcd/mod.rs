//! The etcd backend: several replicas of the server share the store in one etcd cluster.
//!
//! ```text
//!   get ─── freshness check, one for all readers that wait ─┐
//!    │                                                       ▼
//!    ├── [feed]  index of revisions, latest events ◄── one watch ──  etcd
//!    │             ▲                                         ▲
//!   watch ─────────┘        range, commit ───────────────────┘
//! ```
//!
//! *Revisions* are those of etcd. Each transaction puts its write ID to one key, the sentinel, whose
//! modification revision is the latest revision of the store, see `layout`. So other programs may
//! use the same etcd under other prefixes. Without space in etcd, deletions delete the sentinel, and
//! the latest revision is that of etcd.
//!
//! *Shared keys.* Other programs may write keys of the store too, at places of their own, see
//! `layout`. There is no sentinel then. The latest revision is that of etcd, the feed asks etcd for
//! the progress of its watch, and a write without an answer is recognized by its changes.
//!
//! *Freshness.* A read of a known key asks etcd for the sentinel, together with all other readers
//! that wait, see `shared_call`. Once the feed has reached that revision, its index tells whether
//! the known value is current. Other reads are linearizable.
//!
//! *Writes* decide from values in memory, see `Store::get_cached`. Their guards detect outdated ones.
//!
//! *Members.* Each has its own client, see `members`. Requests that may be repeated go to a second
//! member when the first one does not answer soon. The watch of the feed resumes on another member.
//!
//! *Unknown outcomes.* A write without an answer is resolved through the fence, see `write`. What no
//! quorum resolves is `OutcomeUnknown`.
//!
//! *Failure.* The server outlives all failures of etcd. Until a quorum answers, every call fails
//! with `Unreachable` after the timeout of a request, and watches wait.
//!
//! No other module uses etcd-client.

mod commit_log;
mod error;
mod feed;
mod feed_task;
mod key_index;
mod layout;
mod lease_elector;
mod log_reader;
mod member_version;
mod members;
mod own_keys;
mod previous_values;
mod quorum_sign;
mod read;
mod replica;
mod request;
mod shared_call;
mod space;
mod store;
mod tls_files;
mod watch;
mod write;

pub use store::Etcd;
