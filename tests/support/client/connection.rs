//! Connections that outlast one exchange: several requests on one connection, with HTTP/1.1 or
//! HTTP/2, and requests with a body that is sent in parts.

use std::io;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::task::{JoinHandle, JoinSet};
use tokio::{io::AsyncWriteExt, io::BufReader, net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Answer, Client, DEADLINE, Request, wire, write};

/// A request that is not yet sent completely.
pub(crate) struct Begun {
    stream: BufReader<TlsStream<TcpStream>>,
    method: String,
    rest: Vec<u8>,
}

impl Begun {
    /// Sends the rest of the body and reads the response.
    pub(crate) async fn finish(mut self) -> io::Result<Answer> {
        let rest = std::mem::take(&mut self.rest);
        self.stream.write_all(&rest).await?;
        self.stream.flush().await?;
        self.answer().await
    }

    /// Reads the response without sending the rest of the body.
    pub(crate) async fn answer(mut self) -> io::Result<Answer> {
        timeout(DEADLINE, wire::read_answer(&mut self.stream, &self.method)).await?
    }
}

/// A persistent HTTP/1.1 connection.
pub(crate) struct Kept {
    pub(crate) stream: BufReader<TlsStream<TcpStream>>,
    client: Client,
}

impl Kept {
    /// Sends a request and returns any response.
    pub(crate) async fn send(&mut self, request: Request) -> io::Result<Answer> {
        let request = self.client.signed(request).header("connection", "keep-alive");
        write(&mut self.stream, &request.head(self.client.address), request.body.as_deref())
            .await?;
        timeout(DEADLINE, wire::read_answer(&mut self.stream, &request.method)).await?
    }
}

/// A persistent HTTP/2 connection. Dropping it closes the connection.
pub(crate) struct Multiplexed {
    sender: http2::SendRequest<Full<bytes::Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
    client: Client,
}

impl Multiplexed {
    /// Waits until the server takes a request. Fails once it has announced the end of the
    /// connection.
    pub(crate) async fn ready(&mut self) -> hyper::Result<()> {
        self.sender.ready().await
    }

    /// Sends a request and returns any response.
    pub(crate) async fn send(&self, request: Request) -> hyper::Result<Answer> {
        self.client.stream_of(self.sender.clone(), self.client.signed(request)).await
    }
}

impl Drop for Multiplexed {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Requests on one HTTP/2 connection whose responses are not read: the client grants no window.
/// Dropping it closes the connection.
pub(crate) struct Unread {
    responses: JoinSet<hyper::Result<http::Response<Incoming>>>,
    read_heads: Vec<http::Response<Incoming>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Unread {
    /// Returns the status of the next response, whose body stays unread.
    pub(crate) async fn next_status(&mut self) -> io::Result<u16> {
        let next = timeout(DEADLINE, self.responses.join_next()).await?;
        let response = next.ok_or(io::ErrorKind::UnexpectedEof)??.map_err(io::Error::other)?;
        let status = response.status().as_u16();
        self.read_heads.push(response);
        Ok(status)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    /// Sends requests concurrently on one HTTP/2 connection without reading the responses.
    pub(crate) async fn send_unread(&self, requests: Vec<Request>) -> io::Result<Unread> {
        let stream = TokioIo::new(self.open(&["h2"]).await?);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(0);
        let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
        let connection = tokio::spawn(connection);
        let mut responses = JoinSet::new();
        for request in requests {
            let message = self.message(self.signed(request));
            let mut sender = sender.clone();
            responses.spawn(async move { sender.send_request(message).await });
        }
        Ok(Unread { responses, read_heads: Vec::new(), connection })
    }

    /// Opens a TLS connection that offers these ALPN protocols.
    pub(crate) async fn open(&self, protocols: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = protocols.iter().map(|each| each.as_bytes().to_vec()).collect();
        let socket = self.connect_tcp().await?;
        let name = ServerName::IpAddress(self.address.ip().into());
        TlsConnector::from(std::sync::Arc::new(tls)).connect(name, socket).await
    }

    /// Sends a request except the last byte of its body.
    pub(crate) async fn begin(&self, request: Request) -> io::Result<Begun> {
        let mut body = request.body.clone().unwrap_or_default();
        let rest = body.split_off(body.len().saturating_sub(1));
        let request = self.signed(request);
        let mut stream = BufReader::new(self.open(&[]).await?);
        write(&mut stream, &request.head(self.address), Some(&body)).await?;
        Ok(Begun { stream, method: request.method, rest })
    }

    /// Opens an HTTP/1.1 connection for any number of requests.
    pub(crate) async fn keep(&self) -> io::Result<Kept> {
        Ok(Kept { stream: BufReader::new(self.open(&["http/1.1"]).await?), client: self.clone() })
    }

    /// Opens an HTTP/2 connection for any number of requests.
    pub(crate) async fn multiplex(&self) -> io::Result<Multiplexed> {
        let stream = TokioIo::new(self.open(&["h2"]).await?);
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(io::Error::other)?;
        Ok(Multiplexed { sender, connection: tokio::spawn(connection), client: self.clone() })
    }

    /// Sends requests one after the other on one HTTP/1.1 connection.
    pub(crate) async fn send_in_turn(&self, requests: Vec<Request>) -> io::Result<Vec<Answer>> {
        let mut kept = self.keep().await?;
        let mut answers = Vec::new();
        for request in requests {
            answers.push(kept.send(request).await?);
        }
        Ok(answers)
    }

    /// Sends requests concurrently on one HTTP/2 connection.
    pub(crate) async fn send_together(&self, requests: Vec<Request>) -> io::Result<Vec<Answer>> {
        let stream = TokioIo::new(self.open(&["h2"]).await?);
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(io::Error::other)?;
        let connection = tokio::spawn(connection);
        let exchanges = requests
            .into_iter()
            .map(|request| self.stream_of(sender.clone(), self.signed(request)));
        let answers = timeout(DEADLINE, futures_util::future::try_join_all(exchanges)).await?;
        connection.abort();
        answers.map_err(io::Error::other)
    }

    async fn stream_of(
        &self,
        mut sender: http2::SendRequest<Full<bytes::Bytes>>,
        request: Request,
    ) -> hyper::Result<Answer> {
        let method = request.method.clone();
        let (head, body) = sender.send_request(self.message(request)).await?.into_parts();
        let text =
            |value: &http::HeaderValue| value.as_bytes().iter().copied().map(char::from).collect();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect();
        let body = body.collect().await?.to_bytes().to_vec();
        Ok(Answer { method, status: head.status.as_u16(), headers, body })
    }

    fn message(&self, request: Request) -> http::Request<Full<bytes::Bytes>> {
        let uri = format!("https://{}{}", self.address, request.target);
        let mut message = http::Request::builder().method(request.method.as_str()).uri(uri);
        for (name, value) in &request.headers {
            message = message.header(name, value);
        }
        let body = Full::from(request.body.unwrap_or_default());
        message.body(body).expect("the request is valid")
    }

    /// Builds the request with the token of this client, unless the request has its own
    /// credentials.
    pub(super) fn signed(&self, request: Request) -> Request {
        match &self.token {
            Some(token) if !request.has("authorization") => {
                request.header("authorization", &format!("Bearer {token}"))
            }
            _ => request,
        }
    }
}
