//! Watches over WebSocket, as browsers ask for them: each event is a message, of text where it is JSON and of bytes where it is
//! protobuf. What the client says is not looked at, but for the end.

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

/// How long a client may take to take a message.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client may take to say that it has heard the end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The largest message of a client that is taken, in bytes; no client has anything to say.
const MOST_HEARD: usize = 64 << 10;

/// The upgrade to WebSocket that a request wants.
#[derive(Clone)]
pub(super) struct Upgrade {
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
    upgrade: OnUpgrade,
}

/// The connections that became WebSockets, which the listener does not know any more.
pub(super) struct WebSockets {
    open: watch::Sender<()>,
}

impl Upgrade {
    /// Reads the headers of a request. None if it wants no upgrade, or names no key.
    pub(super) fn read(headers: &HeaderMap, extensions: &mut Extensions) -> Option<Self> {
        if !crate::auth::is_websocket(headers) {
            return None;
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()?;
        // Browsers want to hear one of those that they offer.
        let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
        let protocol = offered.and_then(|offered| offered.split(',').next()?.trim().parse().ok());
        Some(Self { accept, protocol, upgrade: extensions.remove::<OnUpgrade>()? })
    }
}

impl WebSockets {
    /// No WebSockets.
    pub(super) fn new() -> Self {
        Self { open: watch::Sender::new(()) }
    }

    /// Upgrades the connection of a response that has an [`Upgrade`] among its extensions.
    pub(super) fn complete(&self, mut response: Response) -> Response {
        match response.extensions_mut().remove::<Upgrade>() {
            Some(upgrade) => self.upgrade(upgrade, response),
            None => response,
        }
    }

    /// The response that accepts an upgrade. The events of `response` follow in messages.
    fn upgrade(&self, upgrade: Upgrade, response: Response) -> Response {
        let Upgrade { accept, protocol, upgrade } = upgrade;
        let (mut head, body) = response.into_parts();
        let is_text = head.headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
        let kind = if is_text { Kind::Text } else { Kind::Binary };
        let open = self.open.subscribe();
        tokio::spawn(async move {
            if let Ok(connection) = upgrade.await
                && let Err(why) = pump(connection, body.into_data_stream(), kind).await
            {
                debug!(%why, "a WebSocket ended badly");
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

    /// Waits until all have come to their end, for some time at most.
    pub(super) async fn finish(&self, patience: Duration) {
        if timeout(patience, self.open.closed()).await.is_err() {
            tracing::warn!(
                connections = self.open.receiver_count(),
                "WebSockets outlast the drain time and are cut off"
            );
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Binary,
}

impl Kind {
    fn message(self, event: Bytes) -> Result<Message, Error> {
        match self {
            Self::Text => Ok(Message::Text(Utf8Bytes::try_from(event).map_err(|why| Error::Utf8(why.to_string()))?)),
            Self::Binary => Ok(Message::Binary(event)),
        }
    }
}

/// Sends events until there are no more, or the client does not want more.
async fn pump(connection: Upgraded, mut events: BodyDataStream, kind: Kind) -> Result<(), Error> {
    let limits = WebSocketConfig::default().max_message_size(Some(MOST_HEARD)).max_frame_size(Some(MOST_HEARD));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(limits)).await;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            heard = socket.next() => match heard {
                // Pings are answered by the library.
                // The reply to a close is written by the library, and sent here.
                Some(Ok(Message::Close(_))) => return sent(socket.flush()).await,
                None => return Ok(()),
                Some(Ok(_)) => continue,
                Some(Err(why)) => return Err(why),
            },
        };
        let Some(Ok(event)) = event else {
            break;
        };
        sent(socket.send(kind.message(event)?)).await?;
    }
    let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
    sent(socket.close(Some(frame))).await?;
    // Whoever closes with something unread takes back what it said last.
    let unread = async { while let Some(Ok(_)) = socket.next().await {} };
    drop(timeout(LAST_WORDS, unread).await);
    Ok(())
}

async fn sent(sending: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let late = |_| Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(PATIENCE, sending).await.map_err(late)?
}
