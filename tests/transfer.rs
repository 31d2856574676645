//! `transfer` between data folders, and between a data folder and the API of a running server.
//! Transfers to and from etcd are in `tests/etcd_store/transfer.rs`.

#[path = "transfer/api.rs"]
mod api;
#[path = "transfer/command.rs"]
mod command;
#[path = "transfer/folders.rs"]
mod folders;
#[path = "transfer/objects.rs"]
mod objects;
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "support/mod.rs"]
mod support;
