//! Responses of admission webhooks, whose memory is charged before it is used.

use std::future::Future;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::error_message;
use crate::runtime::{BudgetAccount, FairShare, MemoryUse, Refusal};

/// Body of a successful response.
#[derive(Debug)]
pub struct WebhookResponse {
    /// Body.
    pub body: Bytes,
    /// Memory of a large body; none for work that is not charged.
    pub memory: Option<FairShare>,
}

/// Failed call of a webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookCallError {
    /// Unusable configuration, or no response that counts.
    #[error("{0}")]
    Failed(String),
    /// No memory for the response.
    #[error("no memory for the response: {}", .0.reason())]
    NoMemory(Refusal),
}

/// Reader of the response to one call.
pub(super) struct ResponseReader<'a> {
    /// End of the call. Waiting for memory moves it, because that is not the webhook's fault.
    pub(super) deadline: Instant,
    /// Account of the memory; none for work that is not charged.
    pub(super) account: Option<&'a BudgetAccount>,
}

/// Response that cannot be read.
pub(super) enum ReadError {
    /// No complete response.
    Transport(String),
    /// Response that is no review.
    Response(String),
    /// No memory.
    Memory(Refusal),
}

/// Maximum size of a response, in bytes: that of the largest request body of this server, of which a
/// patch needs a part.
const MAX_BYTES: usize = 3 << 20;
/// Size of the largest response whose memory is not charged while it arrives, in bytes. Most
/// responses are smaller, and the number of calls is bounded.
const MAX_FREE_BYTES: usize = 16 << 10;
/// Maximum size of the text of a failed response that errors show, in bytes.
const MAX_SHOWN_BYTES: usize = 256;
const TIMED_OUT: &str = "context deadline exceeded";

impl From<String> for WebhookCallError {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl ResponseReader<'_> {
    /// Waits for a response and reads it.
    ///
    /// # Errors
    /// The response is late, incomplete, too large or a failure, or there is no memory for it.
    pub(super) async fn read(
        &mut self,
        sent: impl Future<Output = reqwest::Result<Response>>,
    ) -> Result<WebhookResponse, ReadError> {
        let mut response = within(self.deadline, sent).await?;
        let declared =
            response.content_length().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let expected = declared.unwrap_or_default();
        if expected > MAX_BYTES {
            return Err(too_large());
        }
        let mut memory = match expected > MAX_FREE_BYTES {
            true => self.acquire(expected).await?,
            false => None,
        };
        let mut room = expected.max(MAX_FREE_BYTES);
        let mut body = BytesMut::with_capacity(expected);
        while let Some(chunk) = within(self.deadline, response.chunk()).await? {
            let bytes = body.len() + chunk.len();
            if bytes > MAX_BYTES {
                return Err(too_large());
            }
            if bytes > room {
                memory = self.acquire(MAX_BYTES).await?;
                room = MAX_BYTES;
            }
            body.extend_from_slice(&chunk);
        }
        match response.status().is_success() {
            true => Ok(WebhookResponse { body: body.freeze(), memory }),
            false => Err(ReadError::Response(failure(response.status(), &body))),
        }
    }

    async fn acquire(&mut self, bytes: usize) -> Result<Option<FairShare>, ReadError> {
        let Some(BudgetAccount { budget, flow }) = self.account else { return Ok(None) };
        let begun = Instant::now();
        let share = budget.acquire(MemoryUse::Reviews, *flow, bytes as u64).await;
        self.deadline += begun.elapsed();
        share.map(Some).map_err(ReadError::Memory)
    }
}

async fn within<T>(
    deadline: Instant,
    part: impl Future<Output = reqwest::Result<T>>,
) -> Result<T, ReadError> {
    match timeout_at(deadline, part).await {
        Ok(outcome) => outcome.map_err(|error| ReadError::Transport(reason(&error))),
        Err(_) => Err(ReadError::Transport(TIMED_OUT.to_owned())),
    }
}

fn reason(error: &reqwest::Error) -> String {
    match error.is_timeout() {
        true => TIMED_OUT.to_owned(),
        // The first message repeats the URL.
        false => std::error::Error::source(error).map_or_else(|| error.to_string(), error_message),
    }
}

fn too_large() -> ReadError {
    ReadError::Response(format!("the response is larger than {MAX_BYTES} bytes"))
}

/// Reason of a failed response, as `NewGenericServerResponse` in
/// `k8s.io/apimachinery/pkg/api/errors/errors.go`.
fn failure(status: StatusCode, body: &[u8]) -> String {
    match status {
        StatusCode::NOT_FOUND => "the server could not find the requested resource".into(),
        StatusCode::UNAUTHORIZED => {
            "the server has asked for the client to provide credentials".into()
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            "the server is currently unable to handle the request".into()
        }
        StatusCode::TOO_MANY_REQUESTS => {
            "the server has received too many requests and has asked us to try again later".into()
        }
        _ if status.is_server_error() => {
            let shown = String::from_utf8_lossy(&body[..body.len().min(MAX_SHOWN_BYTES)]);
            let shown = shown.trim().escape_debug().to_string();
            format!(
                "an error on the server (\"{shown}\") has prevented the request from succeeding"
            )
        }
        _ => format!("the server responded with the status code {}", status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::{FutureExt, future, stream};
    use reqwest::Body;
    use tokio::time::sleep;

    use super::*;
    use crate::runtime::{Flow, MemoryBudget, PriorityLevel};
    use crate::telemetry::metrics::Metrics;

    const MIB: usize = 1 << 20;

    /// The accounts of two users, one of which holds all that users may have for responses.
    async fn accounts() -> (BudgetAccount, FairShare) {
        let budget = MemoryBudget::new(64 << 20, &Arc::new(Metrics::new()));
        let flow = |id| Flow { level: PriorityLevel::Users, id, shares: NonZeroU32::MIN };
        let held = budget.acquire(MemoryUse::Reviews, flow(1), MAX_BYTES as u64).await.unwrap();
        (BudgetAccount { budget, flow: flow(2) }, held)
    }

    fn reader(account: Option<&BudgetAccount>) -> ResponseReader<'_> {
        ResponseReader { deadline: Instant::now() + Duration::from_secs(60), account }
    }

    async fn read(account: Option<&BudgetAccount>, body: Body) -> Option<WebhookResponse> {
        let response = Response::from(http::Response::new(body));
        reader(account).read(future::ready(Ok(response))).await.ok()
    }

    fn chunks(count: usize) -> Body {
        let chunk = |_| Ok::<_, std::io::Error>(vec![b'x'; MAX_FREE_BYTES / 2]);
        Body::wrap_stream(stream::iter((0..count).map(chunk)))
    }

    #[tokio::test]
    async fn large_responses_wait_for_memory() {
        let declared = || Body::from(vec![b'x'; MIB]);
        for (large, small, charged) in [
            (declared(), Body::from(vec![b'x'; MAX_FREE_BYTES]), MIB),
            (chunks(3), chunks(2), MAX_BYTES),
        ] {
            let (account, held) = accounts().await;
            let mut waiting = Box::pin(read(Some(&account), large));
            assert!(waiting.as_mut().now_or_never().is_none());
            let small = read(Some(&account), small).await.unwrap();
            assert!(small.body.len() == MAX_FREE_BYTES && small.memory.is_none());
            drop(held);
            let memory = waiting.await.unwrap().memory;
            assert_eq!(memory.map(|share| share.amount()), Some(charged as u64));
        }
        assert!(read(None, declared()).await.unwrap().memory.is_none());
    }

    #[tokio::test]
    async fn waiting_for_memory_moves_the_deadline() {
        const WAIT: Duration = Duration::from_millis(20);
        let (account, held) = accounts().await;
        let mut reader = reader(Some(&account));
        let before = reader.deadline;
        let release = async {
            sleep(WAIT).await;
            drop(held);
        };
        let (memory, ()) = tokio::join!(reader.acquire(MIB), release);
        assert!(memory.is_ok_and(|memory| memory.is_some()) && reader.deadline >= before + WAIT);
    }

    #[tokio::test]
    async fn late_and_endless_responses_are_failures() {
        let mut late = ResponseReader { deadline: Instant::now(), account: None };
        let why = late.read(future::pending()).await;
        assert!(matches!(why, Err(ReadError::Transport(why)) if why == TIMED_OUT));
        for body in [Body::from(vec![b'x'; MAX_BYTES + 1]), chunks(1000)] {
            let response = Response::from(http::Response::new(body));
            let why = reader(None).read(future::ready(Ok(response))).await;
            assert!(matches!(why, Err(ReadError::Response(why)) if why.contains("larger than")));
        }
    }
}
