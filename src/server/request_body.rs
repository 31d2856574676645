//! The bodies of requests.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::endpoints::decode::MAX_BODY_BYTES;
use crate::meta::Status;
use crate::registry::workload::charged_bytes;
use crate::runtime::{Flow, MemoryBudget, MemoryUse};

/// The speed at which a body must arrive, so that a client that sends nothing does not hold memory
/// until the deadline of its request.
struct Pace {
    /// Bytes per second, on average.
    rate: u64,
    /// The time for which a body may be slower.
    grace: Duration,
}

/// The pace of all bodies.
const PACE: Pace = Pace { rate: 1 << 10, grace: Duration::from_secs(10) };

/// The size of the largest body whose memory is not charged while it arrives, in bytes.
const MAX_FREE_BODY: usize = 4 << 10;
/// Reads a whole body. Its bytes keep their memory until they are dropped.
///
/// # Errors
/// 413 for a body over the limit, 429 if others have taken the memory, 408 for a body that arrives
/// too slowly, 400 if it cannot be read.
pub(super) async fn read(
    memory: &MemoryBudget,
    flow: Flow,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Bytes, Status> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        if !headers.contains_key(header::EXPECT) {
            discard(&mut body).await;
        }
        return Err(Status::request_too_large(MAX_BODY_BYTES));
    }
    let expected = announced.unwrap_or(MAX_BODY_BYTES);
    if expected <= MAX_FREE_BODY {
        return receive(&mut body, expected, &PACE).await;
    }
    let share = memory.acquire(MemoryUse::Bodies, flow, expected as u64).await;
    let mut share = share.map_err(|_| Status::too_many_requests())?;
    let whole = receive(&mut body, announced.unwrap_or_default(), &PACE).await?;
    share.shrink_to(whole.len() as u64);
    Ok(charged_bytes(whole, share))
}

/// Receives a body of about `expected` bytes.
async fn receive(body: &mut Body, expected: usize, pace: &Pace) -> Result<Bytes, Status> {
    let begun = Instant::now();
    let mut whole = BytesMut::with_capacity(expected);
    loop {
        let earned = Duration::from_millis(whole.len() as u64 * 1000 / pace.rate);
        let frame = timeout_at(begun + pace.grace + earned, body.frame()).await;
        match frame.map_err(|_| too_slow(pace))? {
            None => return Ok(whole.freeze()),
            Some(Ok(frame)) => {
                // Trailers are ignored.
                let data = frame.into_data().unwrap_or_default();
                if whole.len() + data.len() > MAX_BODY_BYTES {
                    discard(body).await;
                    return Err(Status::request_too_large(MAX_BODY_BYTES));
                }
                whole.extend_from_slice(&data);
            }
            Some(Err(why)) => {
                let text = format!("the body of the request could not be read: {why}");
                return Err(Status::bad_request(text));
            }
        }
    }
}

/// 408 (RFC 9110, section 15.5.9). kube-apiserver, which has no such limit, returns 504 with the
/// same reason at the deadline.
fn too_slow(pace: &Pace) -> Status {
    let text = format!(
        "the body of the request arrives too slowly: after {} s, {} bytes per second must have arrived on average; \
         send it again",
        pace.grace.as_secs(),
        pace.rate
    );
    Status::failure(408, "Timeout", text)
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

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    /// An eighth of the speed at which `parts` arrive.
    const PACE: Pace = Pace { rate: 16 << 10, grace: Duration::from_millis(300) };

    /// A body of parts of 512 bytes, one every 4 ms.
    fn parts(count: usize) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
        stream::iter(0..count).then(|_| async {
            tokio::time::sleep(Duration::from_millis(4)).await;
            Ok(Bytes::from_static(&[b'x'; 512]))
        })
    }

    #[tokio::test]
    async fn steady_body_may_take_longer_than_the_grace() {
        let begun = Instant::now();
        let mut body = Body::from_stream(parts(200));
        assert_eq!(receive(&mut body, 0, &PACE).await.unwrap().len(), 200 * 512);
        assert!(begun.elapsed() > PACE.grace);
    }

    #[tokio::test]
    async fn body_that_stops_is_408() {
        for count in [0, 1, 20] {
            let mut body = Body::from_stream(parts(count).chain(stream::pending()));
            let begun = Instant::now();
            let status = receive(&mut body, 0, &PACE).await.unwrap_err();
            assert_eq!((status.code, status.reason.as_str()), (408, "Timeout"));
            assert!(begun.elapsed() >= PACE.grace, "{:?}", begun.elapsed());
        }
    }

    #[tokio::test]
    async fn body_over_the_limit_is_413() {
        let part = Bytes::from(vec![b' '; MAX_BODY_BYTES / 2 + 1]);
        let body = stream::iter([part.clone(), part].map(Ok::<_, std::io::Error>));
        let status = receive(&mut Body::from_stream(body), 0, &PACE).await.unwrap_err();
        assert_eq!(status.code, 413);
    }
}
