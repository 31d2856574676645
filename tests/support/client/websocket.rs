//! WebSocket connections on which the server sends messages.

use http::{HeaderName, Response};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Client;

/// An established WebSocket connection.
pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

impl Client {
    /// Opens a WebSocket and returns it with the response that accepts it. Panics if the server
    /// rejects it.
    pub(crate) async fn websocket(
        &self,
        target: &str,
        headers: &[(&str, &str)],
    ) -> (Response<Option<Vec<u8>>>, Socket) {
        let stream = self.open(&["http/1.1"]).await.expect("a connection");
        let mut request =
            format!("wss://localhost{target}").into_client_request().expect("a request");
        let token = self.token.as_ref().map(|token| ("authorization", format!("Bearer {token}")));
        let headers = headers.iter().map(|&(name, value)| (name, value.to_owned()));
        for (name, value) in headers.chain(token) {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        let (socket, answer) =
            client_async(request, stream).await.expect("the server accepts the WebSocket");
        (answer, socket)
    }
}
