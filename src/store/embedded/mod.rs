//! The embedded backend: a store in one file, on redb. The default, for a server with one replica
//! and a volume.
//!
//! ```text
//!   get, range ──────────────┐                     ┌── watch: reads the log from its own cursor
//!                            ▼                     ▼
//!                    [read]  snapshots of  <dir>/store.redb
//!                                          ▲
//!   commit, compact ── queue ── [writer] ──┘  one thread; waiting jobs share one durable commit
//! ```
//!
//! *Threads.* `get` and watches read on the calling thread: an index row and a value take
//! microseconds from the page cache, and tens of them from a disk, less than a switch to another
//! thread. `range` may read any number of values and runs on tokio's blocking threads, so it needs
//! a tokio runtime.
//!
//! *Damage.* Every row has a checksum, and every read verifies it, see `layout`. A wrong value is
//! `Damaged` and is never returned; a wrong index row or a panic of redb is `Corrupt`. Opening
//! verifies all indexes, see `structure`: a damaged one could hide keys. `salvage` saves what such a
//! file still reaches.
//!
//! *Failure.* After an I/O error or a panic in a commit, the writer opens the file again, see
//! `handle`. Reads wait for a moment, and are `Unavailable` if it takes longer. If the file cannot
//! be opened, or soon fails again, every call fails and
//! [`StoreHealth::failed`](super::StoreHealth::failed) resolves: the process should end. On a full
//! disk, transactions are `Full` and reads continue.
//!
//! *Compression.* Values are compressed with LZ4, see `packed`. Those of a file of an earlier format
//! are compressed during the first compaction, or by a defragmentation, see `repack`.
//!
//! *Large values.* A large value is stored as the difference from the one that it replaced, see
//! `values`. The ones that were used last are in memory, see `recent_values`.
//!
//! *Accounts.* The usage of each account is in memory and in a table of its own, which the group
//! that changes it also writes, see `ledger`.
//!
//! *Maintenance.* [`Folder`] implements the commands for a folder that no server uses. A check and
//! a read-only store write to a copy-on-write view, so the file does not change. A restored file is
//! renamed to its place once it is verified.
//!
//! No other module uses redb.

mod backend;
mod backup;
mod compact;
mod copy_on_write;
mod damaged_values;
mod data_file;
mod defrag;
mod delta;
mod error;
mod folder;
mod fsck;
mod group;
mod handle;
mod job;
mod layout;
mod ledger;
mod lock;
mod memory;
mod new_place;
mod open;
mod options;
mod packed;
mod read;
mod recent_values;
mod recover;
mod repack;
mod restore;
mod salvage;
mod scan;
mod space;
mod space_use;
mod store;
mod structure;
mod values;
mod watch;
mod writer;

pub use backend::{
    BackendError, BackendLayer, FileBackend, FileOpener, Layered, OpenFile, StorageBackend,
    open_file,
};
pub use backup::Backups;
pub use data_file::DataFile;
pub use folder::Folder;
pub use options::{DATA_FILE, Options, first_revision};
pub use restore::beginning;
pub use scan::Scans;
pub use store::Embedded;
