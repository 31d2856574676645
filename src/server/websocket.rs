//! Watches over WebSocket, for browsers. Each event is one message: text for JSON, binary for
//! protobuf. Messages of the client are ignored, except close.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tracing::debug;

/// Time for a client to read a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for a client to confirm the close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of a message of the client in bytes.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// The upgrade to WebSocket of a request.
#[derive(Clone)]
pub(super) struct Upgrade {
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
    upgrade: OnUpgrade,
}

/// Connections that were upgraded to WebSocket, which the listener no longer tracks.
pub(super) struct WebSockets {
    open: watch::Sender<()>,
}

impl Upgrade {
    /// Takes the upgrade of a request; none if it requests no upgrade, or has no key.
    pub(super) fn read(headers: &HeaderMap, extensions: &mut Extensions) -> Option<Self> {
        if !crate::auth::is_websocket(headers) {
            return None;
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()?;
        // Browsers require that the server selects one of the offered protocols.
        let offered =
            headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
        let protocol = offered.and_then(|offered| offered.split(',').next()?.trim().parse().ok());
        Some(Self { accept, protocol, upgrade: extensions.remove::<OnUpgrade>()? })
    }
}

impl WebSockets {
    /// An empty set.
    pub(super) fn new() -> Self {
        Self { open: watch::Sender::new(()) }
    }

    /// Upgrades the connection of a response that has an [`Upgrade`] extension.
    pub(super) fn complete(&self, mut response: Response) -> Response {
        match response.extensions_mut().remove::<Upgrade>() {
            Some(upgrade) => self.upgrade(upgrade, response),
            None => response,
        }
    }

    /// The response that accepts an upgrade. A task sends the events of `response` as messages.
    fn upgrade(&self, upgrade: Upgrade, response: Response) -> Response {
        let Upgrade { accept, protocol, upgrade } = upgrade;
        let (mut head, body) = response.into_parts();
        let is_text =
            head.headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
        let kind = if is_text { MessageKind::Text } else { MessageKind::Binary };
        let open = self.open.subscribe();
        tokio::spawn(async move {
            if let Ok(connection) = upgrade.await
                && let Err(why) = forward_events(connection, body.into_data_stream(), kind).await
            {
                debug!(%why, "WebSocket failed");
            }
            drop(open);
        });
        head.status = StatusCode::SWITCHING_PROTOCOLS;
        head.headers.remove(header::CONTENT_TYPE);
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        head.headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = protocol {
            head.headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        Response::from_parts(head, Body::empty())
    }

    /// Waits until all WebSockets are closed, at most for `limit`.
    pub(super) async fn finish(&self, limit: Duration) {
        if timeout(limit, self.open.closed()).await.is_err() {
            tracing::warn!(
                connections = self.open.receiver_count(),
                "WebSockets exceed the drain time, aborting them"
            );
        }
    }
}

#[derive(Clone, Copy)]
enum MessageKind {
    Text,
    Binary,
}

impl MessageKind {
    fn message(self, event: Bytes) -> Result<Message, Error> {
        match self {
            Self::Text => Ok(Message::Text(
                Utf8Bytes::try_from(event).map_err(|why| Error::Utf8(why.to_string()))?,
            )),
            Self::Binary => Ok(Message::Binary(event)),
        }
    }
}

/// Sends events until they end or the client closes.
async fn forward_events(
    connection: Upgraded,
    mut events: BodyDataStream,
    kind: MessageKind,
) -> Result<(), Error> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(limits))
            .await;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            received = socket.next() => match received {
                // The library replies to pings, and writes the reply to a close, which is flushed
                // here.
                Some(Ok(Message::Close(_))) => return within_timeout(socket.flush()).await,
                None => return Ok(()),
                Some(Ok(_)) => continue,
                Some(Err(why)) => return Err(why),
            },
        };
        let Some(Ok(event)) = event else {
            break;
        };
        within_timeout(socket.send(kind.message(event)?)).await?;
    }
    let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
    within_timeout(socket.close(Some(frame))).await?;
    // Closing a socket with unread data would reset it and discard the last message.
    let unread = async { while let Some(Ok(_)) = socket.next().await {} };
    drop(timeout(CLOSE_TIMEOUT, unread).await);
    Ok(())
}

async fn within_timeout(sending: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let late = |_| Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(SEND_TIMEOUT, sending).await.map_err(late)?
}
