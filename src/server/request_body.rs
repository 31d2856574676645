//! The bodies of requests.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::memory::{Memory, Share};
use crate::endpoints::decode::MAX_BODY_BYTES;
use crate::meta::Status;

/// Reads a whole body. Its share of the memory must be held as long as the body is needed.
///
/// # Errors
/// 413 for a body over the limit, 429 if others have taken the memory, 400 if it cannot be read.
pub(super) async fn read(
    memory: &Arc<Memory>,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<(Bytes, Share), Status> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        if !headers.contains_key(header::EXPECT) {
            discard(&mut body).await;
        }
        return Err(Status::request_too_large(MAX_BODY_BYTES));
    }
    let share =
        memory.take(announced.unwrap_or(MAX_BODY_BYTES)).ok_or_else(Status::too_many_requests)?;
    match Limited::new(&mut body, MAX_BODY_BYTES).collect().await {
        Ok(whole) => Ok((whole.to_bytes(), share)),
        Err(why) if why.is::<LengthLimitError>() => {
            discard(&mut body).await;
            Err(Status::request_too_large(MAX_BODY_BYTES))
        }
        Err(why) => {
            Err(Status::bad_request(format!("the body of the request could not be read: {why}")))
        }
    }
}

/// Reads the rest of a body that is too large, so that a client that writes before it reads gets
/// the response. A client that sends even more loses the connection.
async fn discard(body: &mut Body) {
    const MOST: usize = 16 << 20;
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > MOST {
            return;
        }
    }
}
