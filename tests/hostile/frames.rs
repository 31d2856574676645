//! HTTP/2 frames (RFC 9113) that no regular client sends, and the part of HPACK (RFC 7541) that
//! writes any header and reads the status of a response.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::support::client::Client;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest wait for a frame.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Payload of the final PING.
pub(crate) const MARK: &[u8] = b"hostiles";

/// End of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    GoesOn,
    /// The server closed the connection, with the code of its GOAWAY, if any.
    Closed(Option<u32>),
}

/// HTTP/2 frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).expect("the payload length fits");
        out.extend_from_slice(&length.to_be_bytes()[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.payload);
    }

    /// Error code of RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload.get(at..at + 4).and_then(|code| code.try_into().ok());
        u32::from_be_bytes(code.unwrap_or_default())
    }
}

/// Header block of literals without indexing and without Huffman coding.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block(pub(crate) Vec<u8>);

impl Block {
    /// Request with a bearer token, or without one if it is empty.
    pub(crate) fn request(method: &str, path: &[u8], token: &str) -> Self {
        let block = Self::default().with(":method", method.as_bytes()).with(":scheme", b"https");
        let block = block.with(":authority", b"localhost").with(":path", path);
        match token {
            "" => block,
            token => block.with("authorization", format!("Bearer {token}").as_bytes()),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.0.push(0);
        for text in [name.as_bytes(), value] {
            write_integer(&mut self.0, text.len());
            self.0.extend_from_slice(text);
        }
        self
    }

    /// Frames of the block on a stream, within the default maximum frame size.
    pub(crate) fn frames(&self, stream: u32, flags: u8) -> Vec<Frame> {
        const LARGEST: usize = 16 << 10;
        let mut parts = self.0.chunks(LARGEST).peekable();
        let mut frames = Vec::new();
        while let Some(part) = parts.next() {
            let end = if parts.peek().is_none() { END_HEADERS } else { 0 };
            let (kind, flags) =
                if frames.is_empty() { (HEADERS, flags | end) } else { (CONTINUATION, end) };
            frames.push(Frame::new(kind, flags, stream, part));
        }
        frames
    }
}

/// Integer with a prefix of seven bits (RFC 7541, 5.1).
fn write_integer(out: &mut Vec<u8>, value: usize) {
    const PREFIX: usize = 127;
    if value < PREFIX {
        out.push(value as u8);
        return;
    }
    out.push(PREFIX as u8);
    let mut rest = value - PREFIX;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// Status at the start of the first header block of a connection: an entry of the static table, or
/// a literal with a name from that table.
pub(crate) fn status(block: &[u8]) -> Option<u16> {
    // A dynamic table size update may come first.
    let block = if block.first()? >> 5 == 1 { block.get(1..)? } else { block };
    match *block.first()? {
        indexed @ 0x88..=0x8e => {
            Some([200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)])
        }
        0x48 | 0x08 | 0x18 => {
            let length = usize::from(block.get(1)? & 0x7f);
            let text = block.get(2..2 + length)?;
            let is_huffman = block[1] & 0x80 != 0;
            if is_huffman {
                huffman_digits(text)
            } else {
                std::str::from_utf8(text).ok()?.parse().ok()
            }
        }
        _ => None,
    }
}

/// Three digits in the Huffman code of RFC 7541, appendix B: 0 to 2 take five bits, 3 to 9 take
/// six.
fn huffman_digits(text: &[u8]) -> Option<u16> {
    let mut bits = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut number = 0;
    for _ in 0..3 {
        let mut code = 0;
        for _ in 0..5 {
            code = code << 1 | bits.next()?;
        }
        let digit = match code {
            0..=2 => code,
            _ => (code << 1 | bits.next()?).checked_sub(0b01_1001)? + 3,
        };
        number = number * 10 + u16::from(digit);
    }
    Some(number)
}

/// Connection after the exchange of settings.
pub(crate) struct Connection {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// Streams that the server has reset.
    pub(crate) reset: Vec<u32>,
}

pub(crate) struct Reader(ReadHalf<TlsStream<TcpStream>>);

pub(crate) struct Writer {
    stream: WriteHalf<TlsStream<TcpStream>>,
    next: u32,
}

impl Connection {
    /// # Errors
    /// The server is unreachable or does not speak HTTP/2.
    pub(crate) async fn open(client: &Client, settings: &[(u16, u32)]) -> io::Result<Self> {
        let (reader, stream) = tokio::io::split(client.open(&["h2"]).await?);
        let mut writer = Writer { stream, next: 1 };
        let mut bytes = PREFACE.to_vec();
        let pairs = settings.iter().flat_map(|(name, value)| {
            let mut pair = name.to_be_bytes().to_vec();
            pair.extend_from_slice(&value.to_be_bytes());
            pair
        });
        Frame::new(SETTINGS, 0, 0, pairs.collect::<Vec<_>>()).write(&mut bytes);
        Frame::new(SETTINGS, ACK, 0, []).write(&mut bytes);
        writer.write(&bytes).await?;
        Ok(Self { reader: Reader(reader), writer, reset: Vec::new() })
    }

    /// Sends a request on a new stream and returns its status.
    ///
    /// # Errors
    /// The stream or the connection ends without a response.
    pub(crate) async fn ask(&mut self, block: &Block) -> io::Result<u16> {
        let stream = self.writer.begin(block, END_STREAM).await?;
        let frame = self.answer(stream).await?;
        status(&frame.payload).ok_or_else(|| io::Error::other("the status is unreadable"))
    }

    /// Waits for the HEADERS of a response and records other streams that are reset meanwhile.
    ///
    /// # Errors
    /// The stream or the connection ends without a response.
    pub(crate) async fn answer(&mut self, stream: u32) -> io::Result<Frame> {
        loop {
            let frame = self.reader.next().await?;
            match frame.kind {
                GOAWAY => {
                    return Err(io::Error::other(format!("GOAWAY with code {}", frame.code())));
                }
                RST_STREAM if frame.stream == stream => {
                    return Err(io::Error::other(format!("RST_STREAM with code {}", frame.code())));
                }
                RST_STREAM => self.reset.push(frame.stream),
                HEADERS if frame.stream == stream => return Ok(frame),
                _ => {}
            }
        }
    }
}

impl Reader {
    /// # Errors
    /// The connection has ended, or no frame arrives.
    pub(crate) async fn next(&mut self) -> io::Result<Frame> {
        timeout(PATIENCE, self.read()).await.unwrap_or_else(|late| Err(late.into()))
    }

    async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1);
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await?;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads until the server acknowledges [`MARK`], and so has read all earlier frames, or ends
    /// the connection.
    ///
    /// # Errors
    /// Neither happens in time.
    pub(crate) async fn drain(mut self) -> io::Result<End> {
        let mut code = None;
        loop {
            match self.next().await {
                Ok(frame) if frame.kind == PING && frame.payload == MARK => return Ok(End::GoesOn),
                Ok(frame) if frame.kind == GOAWAY => code = Some(frame.code()),
                Ok(_) => {}
                Err(why) if why.kind() == io::ErrorKind::TimedOut => return Err(why),
                Err(_) => return Ok(End::Closed(code)),
            }
        }
    }
}

impl Writer {
    /// # Errors
    /// The server has closed the connection.
    pub(crate) async fn send(&mut self, frames: &[Frame]) -> io::Result<()> {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.write(&mut bytes));
        self.write(&bytes).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, sent).await?
    }

    /// Sends a header block on a new stream and returns the stream's number.
    ///
    /// # Errors
    /// The server has closed the connection.
    pub(crate) async fn begin(&mut self, block: &Block, flags: u8) -> io::Result<u32> {
        let stream = self.next_stream();
        self.send(&block.frames(stream, flags)).await?;
        Ok(stream)
    }

    pub(crate) fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }
}
