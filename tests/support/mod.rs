//! Parts that several test binaries share: a client that checks what must hold for every response,
//! and the server as a process. They do not depend on what a test is about.

pub(crate) mod client;
pub(crate) mod expect;
pub(crate) mod process;
pub(crate) mod server;
