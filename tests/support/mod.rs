//! What several test binaries share: a client that checks what every answer must keep, and the real binary as a
//! process. Nothing here knows what a test is about.

pub(crate) mod client;
pub(crate) mod expect;
pub(crate) mod process;
