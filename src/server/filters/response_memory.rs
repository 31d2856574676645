//! The limit on memory for the bodies of responses.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::response::Response;

use crate::endpoints::request_info::RequestKind;
use crate::server::memory::{Memory, STREAMED, Share};

/// A share of the memory for the body of a response, until it is sent. None if others have taken
/// too much. Responses to mutating requests always get one: the change is made, and a refusal
/// would hide that.
pub(super) fn take(memory: &Arc<Memory>, kind: RequestKind, response: &Response) -> Option<Share> {
    let bytes = response.body().size_hint().exact();
    let bytes = bytes.map_or(STREAMED, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    match kind {
        RequestKind::ReadOnly => memory.take(bytes),
        RequestKind::Mutating => Some(memory.add(bytes)),
    }
}
