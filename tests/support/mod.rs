//! Modules shared by several test binaries: a client that checks the rules for every response, and
//! the server as a process. They do not depend on the subject of a test.

pub(crate) mod client;
pub(crate) mod expect;
pub(crate) mod process;
pub(crate) mod server;
