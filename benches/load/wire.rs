//! HTTP/1.1 over TLS, as cheap as a client can be: requests are bytes that were written before, of an answer nothing is
//! read but status and length.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::caller::Caller;
use crate::listen::Pair;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"content-length:";
/// Room for an answer; it grows when one is larger.
const ROOM: usize = 32 << 10;

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector(TlsConnector);

/// A connection that stays open, for one exchange after the other.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// An answer.
pub(crate) struct Answer<'a> {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: &'a [u8],
}

impl Connector {
    /// A connector that trusts one certificate, and shows one of its own if it has any.
    pub(crate) fn new(certificate: &Path, shown: Option<Pair>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for each in CertificateDer::pem_file_iter(certificate).context("the server's certificate cannot be read")? {
            roots.add(each?)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match shown {
            Some(Pair { chain, key }) => config.with_client_auth_cert(chain, key)?,
            None => config.with_no_client_auth(),
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// A new connection.
    pub(crate) async fn open(&self, address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = self.0.connect(ServerName::from(address.ip()), stream).await?;
        Ok(Connection { stream, buffer: vec![0; ROOM] })
    }
}

impl Connection {
    /// Sends a request and reads the whole answer, which must tell its length.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let mut filled = 0;
        let head = loop {
            filled += self.read(filled).await?;
            if let Some(head) = Head::read(&self.buffer[..filled])? {
                break head;
            }
        };
        let end = head.bytes + head.body_bytes;
        while filled < end {
            filled += self.read(filled).await?;
        }
        if filled > end {
            return Err(invalid("more came than the length of the answer"));
        }
        Ok(Answer { status: head.status, body: &self.buffer[head.bytes..end] })
    }

    async fn read(&mut self, filled: usize) -> io::Result<usize> {
        if filled == self.buffer.len() {
            self.buffer.resize(2 * filled, 0);
        }
        match self.stream.read(&mut self.buffer[filled..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// The head of an answer, if it is there already.
    fn read(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = bytes.windows(END_OF_HEAD.len()).position(|part| part == END_OF_HEAD) else {
            return Ok(None);
        };
        let mut lines = bytes[..end].split(|byte| *byte == b'\n');
        let status = lines.next().and_then(|line| line.strip_prefix(b"HTTP/1.1 ")).and_then(|rest| rest.get(..3));
        let status = status.and_then(number).and_then(|status| u16::try_from(status).ok());
        let is_length = |line: &&[u8]| line.get(..LENGTH.len()).is_some_and(|name| name.eq_ignore_ascii_case(LENGTH));
        let length = lines.find(is_length).and_then(|line| number(line[LENGTH.len()..].trim_ascii()));
        match (status, length) {
            (Some(status), Some(body_bytes)) => Ok(Some(Self { status, bytes: end + END_OF_HEAD.len(), body_bytes })),
            _ => Err(invalid("the answer has no status or no length")),
        }
    }
}

/// A request without a body.
pub(crate) fn get(path: &str, caller: Caller) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\n{}\r\n", fields(caller)).into_bytes()
}

/// A POST of a JSON body.
pub(crate) fn post(path: &str, caller: Caller, body: &[u8]) -> Vec<u8> {
    send(&format!("POST {path}"), caller, "application/json", body)
}

/// A request with a body; `what` is its method and its path.
pub(crate) fn send(what: &str, caller: Caller, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{what} HTTP/1.1\r\n{}Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n",
        fields(caller)
    );
    [head.as_bytes(), body].concat()
}

/// What clients of Kubernetes send with every request.
fn fields(caller: Caller) -> String {
    let caller = caller.fields();
    format!("Host: localhost\r\nUser-Agent: load/1.0 (linux/amd64)\r\nAccept: application/json, */*\r\n{caller}")
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
