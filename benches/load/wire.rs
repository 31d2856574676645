//! Minimal HTTP/1.1 client over TLS: requests are prepared bytes, and only status and length of a
//! response are parsed.

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
/// Initial buffer of a response; it grows for a larger one.
const ROOM: usize = 32 << 10;

/// Connector with its TLS configuration.
#[derive(Clone)]
pub(crate) struct Connector(TlsConnector);

/// Persistent connection for one exchange at a time.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// Response.
pub(crate) struct Answer<'a> {
    /// Status code.
    pub(crate) status: u16,
    /// Body.
    pub(crate) body: &'a [u8],
}

impl Connector {
    /// Connector that trusts one certificate and may present a client certificate.
    pub(crate) fn new(certificate: &Path, shown: Option<Pair>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for each in CertificateDer::pem_file_iter(certificate)
            .context("the server's certificate cannot be read")?
        {
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

    /// The same connector for this application protocol (ALPN).
    pub(crate) fn for_protocol(&self, protocol: &str) -> Self {
        let mut config = self.0.config().as_ref().clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// New connection.
    pub(crate) async fn open(&self, address: SocketAddr) -> io::Result<Connection> {
        Ok(Connection { stream: self.open_stream(address).await?, buffer: vec![0; ROOM] })
    }

    /// New TLS connection.
    pub(crate) async fn open_stream(
        &self,
        address: SocketAddr,
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        self.0.connect(ServerName::from(address.ip()), stream).await
    }
}

impl Connection {
    /// Sends a request and reads the whole response, which must have a length.
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
            return Err(invalid("the response is longer than its length"));
        }
        Ok(Answer { status: head.status, body: &self.buffer[head.bytes..end] })
    }

    /// Sends a request whose response is then read in pieces.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await
    }

    /// Reads the head of a response: its status and the framing of its body.
    pub(crate) async fn begin(&mut self) -> io::Result<(u16, Incoming)> {
        let mut filled = 0;
        loop {
            filled += self.read(filled).await?;
            let bytes = &self.buffer[..filled];
            if let Some(end) = bytes.windows(END_OF_HEAD.len()).position(|part| part == END_OF_HEAD)
            {
                let head = Head::read(&bytes[..end + END_OF_HEAD.len()]);
                let (status, chunks, left) = match head {
                    Ok(Some(head)) => (head.status, Chunks::None, head.body_bytes),
                    _ => (status_of(bytes)?, Chunks::Size, 0),
                };
                return Ok((
                    status,
                    Incoming { from: end + END_OF_HEAD.len(), filled, left, chunks },
                ));
            }
        }
    }

    /// Next available bytes of a body; empty at its end.
    pub(crate) async fn part(&mut self, body: &mut Incoming) -> io::Result<Option<&[u8]>> {
        loop {
            if body.left == 0 && body.chunks == Chunks::None {
                return Ok(None);
            }
            if body.left > 0 && body.from < body.filled {
                let size = body.left.min(body.filled - body.from);
                let part = body.from..body.from + size;
                (body.from, body.left) = (part.end, body.left - size);
                return Ok(Some(&self.buffer[part]));
            }
            let line = self.buffer[body.from..body.filled].iter().position(|byte| *byte == b'\n');
            match line.filter(|_| body.left == 0) {
                Some(length) => {
                    let line = self.buffer[body.from..body.from + length].trim_ascii();
                    body.from += length + 1;
                    body.line(line)?;
                }
                None => {
                    self.buffer.copy_within(body.from..body.filled, 0);
                    (body.from, body.filled) = (0, body.filled - body.from);
                    body.filled += self.read(body.filled).await?;
                }
            }
        }
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

/// Body that is being read.
pub(crate) struct Incoming {
    /// Start of the unread bytes in the buffer.
    from: usize,
    /// End of the unread bytes.
    filled: usize,
    /// Remaining bytes of the body or of the current chunk.
    left: usize,
    chunks: Chunks,
}

/// Framing between the bytes of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chunks {
    /// No further framing.
    None,
    /// Size of the next chunk.
    Size,
    /// End of a chunk.
    End,
    /// End of the last chunk.
    LastEnd,
}

impl Incoming {
    /// Parses a line between two chunks.
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.chunks = match self.chunks {
            Chunks::Size => {
                let size =
                    str::from_utf8(line).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
                self.left = size.ok_or_else(|| invalid("the chunk size is invalid"))?;
                if self.left == 0 { Chunks::LastEnd } else { Chunks::End }
            }
            Chunks::End => Chunks::Size,
            Chunks::LastEnd | Chunks::None => Chunks::None,
        };
        Ok(())
    }
}

fn status_of(bytes: &[u8]) -> io::Result<u16> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| number(rest.get(..3)?));
    status
        .and_then(|status| u16::try_from(status).ok())
        .ok_or_else(|| invalid("the response has no status"))
}

struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// Head of a response, once it is complete.
    fn read(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = bytes.windows(END_OF_HEAD.len()).position(|part| part == END_OF_HEAD)
        else {
            return Ok(None);
        };
        let mut lines = bytes[..end].split(|byte| *byte == b'\n');
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix(b"HTTP/1.1 "))
            .and_then(|rest| rest.get(..3));
        let status = status.and_then(number).and_then(|status| u16::try_from(status).ok());
        let is_length = |line: &&[u8]| {
            line.get(..LENGTH.len()).is_some_and(|name| name.eq_ignore_ascii_case(LENGTH))
        };
        let length =
            lines.find(is_length).and_then(|line| number(line[LENGTH.len()..].trim_ascii()));
        match (status, length) {
            (Some(status), Some(body_bytes)) => {
                Ok(Some(Self { status, bytes: end + END_OF_HEAD.len(), body_bytes }))
            }
            _ => Err(invalid("the response has no status or no length")),
        }
    }
}

/// `User-Agent` of all requests.
pub(crate) const AGENT: &str = "load/1.0 (linux/amd64)";
/// `Accept` of clients that speak JSON.
pub(crate) const JSON: &str = "application/json, */*";
/// `Accept` of Go clients for kinds with protobuf.
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf,application/json";

/// Request without a body.
pub(crate) fn get(path: &str, caller: Caller) -> Vec<u8> {
    get_as(path, caller, JSON)
}

/// Request without a body that accepts these media types.
pub(crate) fn get_as(path: &str, caller: Caller, accept: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\n{}\r\n", fields(caller, accept)).into_bytes()
}

/// POST of a JSON body.
pub(crate) fn post(path: &str, caller: Caller, body: &[u8]) -> Vec<u8> {
    send(&format!("POST {path}"), caller, "application/json", body)
}

/// Request with a body; `what` is its method and its path.
pub(crate) fn send(what: &str, caller: Caller, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{what} HTTP/1.1\r\n{}Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n",
        fields(caller, JSON)
    );
    [head.as_bytes(), body].concat()
}

/// Headers that Kubernetes clients send with every request.
fn fields(caller: Caller, accept: &str) -> String {
    let mut lines = format!("Host: localhost\r\nUser-Agent: {AGENT}\r\nAccept: {accept}\r\n");
    for (name, value) in caller.headers() {
        lines.extend([name, ": ", &value, "\r\n"]);
    }
    lines
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
