//! Limits on messages of registries, and on the time for them.

use std::time::Duration;

/// Maximum size of a manifest in bytes, as in most registries.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// Maximum size of an image configuration in bytes.
pub const MAX_CONFIG_BYTES: usize = 8 << 20;
/// Maximum number of JSON values in a manifest or configuration. A few bytes of text become some
/// hundred bytes in memory, so the size alone does not bound memory.
pub(super) const MAX_VALUES: usize = 50_000;
/// Maximum size of the body of an error or of a token response in bytes.
pub(super) const MAX_ERROR_BYTES: usize = 64 << 10;
/// Maximum size of a page of tags in bytes.
pub(super) const MAX_TAG_PAGE_BYTES: usize = 4 << 20;
/// Maximum number of tags of a repository.
pub const MAX_TAGS: usize = 100_000;
/// Maximum number of pages of tags of a repository.
pub(super) const MAX_TAG_PAGES: usize = 2_000;
/// Maximum number of redirects of a request, as in Go's `http.Client`.
pub(super) const MAX_REDIRECTS: usize = 10;
/// Maximum size of a text of a registry in messages, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 256;

/// Time limits of requests to registries.
#[derive(Clone, Copy, Debug)]
pub struct PullTimeouts {
    /// Name resolution, TCP connection and TLS handshake.
    pub connect: Duration,
    /// Time between two parts of a response.
    pub idle: Duration,
    /// Request and response, redirects included.
    pub total: Duration,
    /// The first request to a registry, and each to a token server.
    pub handshake: Duration,
}

impl Default for PullTimeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(10), idle: seconds(30), total: seconds(60), handshake: seconds(15) }
    }
}

/// Returns the start of a text of a registry, for a message.
pub(super) fn cut(text: &str) -> String {
    match text.len() <= MAX_TEXT_BYTES {
        true => text.to_owned(),
        false => format!("{}...", &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]),
    }
}
