//! An HTTPS client for tests: one HTTP/1.1 exchange per connection, over a real TLS socket. The
//! client writes the request target and the header lines exactly as given, because some tests send
//! requests that client libraries reject. It reads responses without normalization: header lines in
//! order, body bytes undecoded.
//!
//! [`Client::send`] checks every response for the rules in [`Answer::broken_promises`].

pub(crate) mod connection;
pub(crate) mod watch;
pub(crate) mod websocket;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::{io, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    io::BufReader,
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The timeout of one exchange, including the connection setup. Watches in tests end well before.
const DEADLINE: Duration = Duration::from_secs(90);

/// The identity of a client. The default is anonymous.
#[derive(Clone, Default)]
pub(crate) struct Identity {
    /// Sent as `Authorization: Bearer`.
    pub(crate) token: Option<String>,
    /// A client certificate and its key, both in PEM.
    pub(crate) certificate: Option<(Vec<u8>, Vec<u8>)>,
}

impl Identity {
    /// Returns the identity of a user with a bearer token.
    pub(crate) fn token(token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::default() }
    }
}

/// A request. Header lines are sent as given. The client adds only `Host`, `Connection: close` and,
/// if there is a body or the method requires it, `Content-Length`, each unless the request sets it.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Written into the request line as given: no encoding, no normalization.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    /// Creates a request without headers and body.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// Adds a header line. Earlier lines of the same name stay.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a JSON body and its content type.
    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string().into_bytes());
        self.header("content-type", "application/json")
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
    }

    fn head(&self, address: SocketAddr) -> Vec<u8> {
        let mut lines = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let mut add = |name: &str, value: &str| lines.push_str(&format!("{name}: {value}\r\n"));
        if !self.has("host") {
            add("Host", &address.to_string());
        }
        if !self.has("connection") {
            add("Connection", "close");
        }
        let wants_length =
            self.body.is_some() || ["POST", "PUT", "PATCH"].contains(&self.method.as_str());
        if wants_length && !self.has("content-length") && !self.has("transfer-encoding") {
            add("Content-Length", &self.body.as_ref().map_or(0, Vec::len).to_string());
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        lines.push_str("\r\n");
        lines.into_bytes()
    }
}

/// A response of the server.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The method of the request: a response to `HEAD` has no body, whatever its headers announce.
    method: String,
    pub(crate) status: u16,
    /// Lines in the order of arrival: names in lower case, values byte for byte (as Latin-1).
    pub(crate) headers: Vec<(String, String)>,
    /// The body with its chunks joined and its content encoding unchanged.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Returns the first header line of this name, which must be in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Result<Value> {
        serde_json::from_slice(&self.body)
    }

    /// Returns the rules for every response that this response breaks, as sentences.
    pub(crate) fn broken_promises(&self) -> Vec<String> {
        let mut broken = self.missing_headers();
        broken.extend(self.not_a_status());
        broken
    }

    /// Checks that the response has an audit ID, and a content type if it has a body.
    pub(crate) fn missing_headers(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.header("audit-id").is_none_or(str::is_empty) {
            missing.push("the answer has no Audit-Id".to_owned());
        }
        if !self.body.is_empty() && self.header("content-type").is_none_or(str::is_empty) {
            missing.push("the answer has a body without a content type".to_owned());
        }
        missing
    }

    /// Checks that a JSON error is a `Status` with the same code as the HTTP response.
    pub(crate) fn not_a_status(&self) -> Option<String> {
        let json = self.header("content-type").is_some_and(|kind| kind.contains("json"));
        if self.status < 400 || !json || self.method == "HEAD" {
            return None;
        }
        let wanted = [
            ("kind", Value::from("Status")),
            ("apiVersion", "v1".into()),
            ("status", "Failure".into()),
            ("code", self.status.into()),
        ];
        let Ok(body) = self.json() else { return Some("the error is no JSON".to_owned()) };
        let (name, value) = wanted.iter().find(|(name, value)| body.get(name) != Some(value))?;
        Some(format!("the error is no Status with {name} {value}: {body}"))
    }
}

/// A client of one server with one identity.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<String>,
    tls: Arc<ClientConfig>,
    /// Local address of connections; that of the system's choice if absent.
    source: Option<IpAddr>,
}

impl Client {
    /// Creates a client that trusts only the CA certificates in `ca` (PEM).
    pub(crate) fn new(address: SocketAddr, ca: &[u8], identity: Identity) -> Self {
        let mut roots = RootCertStore::empty();
        for each in CertificateDer::pem_slice_iter(ca) {
            roots.add(each.expect("the CA file is PEM")).expect("the CA certificate is valid");
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default TLS versions")
            .with_root_certificates(roots);
        let tls = match identity.certificate {
            None => tls.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>();
                let key =
                    PrivateKeyDer::from_pem_slice(&key).expect("the key of the identity is PEM");
                tls.with_client_auth_cert(
                    chain.expect("the certificate of the identity is PEM"),
                    key,
                )
                .expect("the key matches the certificate")
            }
        };
        Self { address, token: identity.token, tls: Arc::new(tls), source: None }
    }

    /// The same client at another local address, such as 127.0.0.2.
    pub(crate) fn at(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Sends a request. Panics if the response breaks a rule.
    pub(crate) async fn send(&self, request: Request) -> io::Result<Answer> {
        let line = format!("{} {}", request.method, request.target);
        let answer = self.send_unchecked(request).await?;
        let broken = answer.broken_promises();
        assert!(broken.is_empty(), "{line} returned {}: {}", answer.status, broken.join("; "));
        Ok(answer)
    }

    /// Sends a request and returns any response.
    pub(crate) async fn send_unchecked(&self, mut request: Request) -> io::Result<Answer> {
        if let Some(token) = self.token.as_ref().filter(|_| !request.has("authorization")) {
            request = request.header("authorization", &format!("Bearer {token}"));
        }
        let late =
            || io::Error::new(io::ErrorKind::TimedOut, format!("no response within {DEADLINE:?}"));
        timeout(DEADLINE, self.exchange(&request)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn exchange(&self, request: &Request) -> io::Result<Answer> {
        let mut stream = BufReader::new(self.connect().await?);
        let written =
            write(&mut stream, &request.head(self.address), request.body.as_deref()).await;
        let answer = wire::read_answer(&mut stream, &request.method).await;
        // A server may reject a request early and close the connection during the write: its
        // response counts, not the broken pipe.
        if answer.is_ok() { answer } else { written.and(answer) }
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let socket = self.connect_tcp().await?;
        let name = ServerName::IpAddress(self.address.ip().into());
        TlsConnector::from(self.tls.clone()).connect(name, socket).await
    }

    /// Opens a TCP connection.
    pub(crate) async fn connect_tcp(&self) -> io::Result<TcpStream> {
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(source) = self.source {
            socket.bind((source, 0).into())?;
        }
        let socket = socket.connect(self.address).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

async fn write(
    stream: &mut BufReader<TlsStream<TcpStream>>,
    head: &[u8],
    body: Option<&[u8]>,
) -> io::Result<()> {
    stream.write_all(head).await?;
    stream.write_all(body.unwrap_or_default()).await?;
    stream.flush().await
}
