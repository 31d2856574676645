//! Histories of many clients, and the rules that they must follow.
//!
//! [`campaign`] runs clients ([`caller`]) and watchers ([`watcher`]) on servers while a test injects
//! faults. [`check()`] finds violations in the recorded history; it is pure.

mod attribution;
mod caller;
pub(crate) mod campaign;
mod check;
mod coverage;
mod lists;
pub(crate) mod record;
mod seen;
pub(crate) mod site;
mod timeline;
pub(crate) mod violation;
mod watcher;
mod wire;

pub(crate) use check::check;
