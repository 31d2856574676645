//! An HTTP/2 client that sends frames and header fields as given, including those that client
//! libraries reject.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::harness::Api;
use crate::support::server::identity_of_admin;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// The maximum frame size that every server accepts, in bytes.
const LARGEST: usize = 16 << 10;

/// A connection. Methods panic if the server closes it.
pub(crate) struct Raw {
    stream: TlsStream<TcpStream>,
    next: u32,
    /// The remaining flow-control window of the connection, in bytes.
    window: usize,
    /// Frames of other responses, read while one response was awaited.
    unseen: Vec<Frame>,
    /// The streams that the server reset, with their error codes.
    pub(crate) resets: Vec<(u32, u32)>,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// True if the headers ended the stream.
    pub(crate) ended_with_headers: bool,
}

/// The fields of a request of an administrator. `path` is below the group version.
pub(crate) fn fields(method: &str, path: &str) -> Vec<(String, Vec<u8>)> {
    let token = identity_of_admin().token.expect("an administrator has a token");
    let fields = [
        (":method", method.to_owned()),
        (":scheme", "https".into()),
        (":authority", "localhost".into()),
        (":path", format!("{}/{path}", crate::harness::V1)),
        ("authorization", format!("Bearer {token}")),
    ];
    fields.map(|(name, value)| (name.to_owned(), value.into_bytes())).to_vec()
}

impl Raw {
    /// Opens a connection without a dynamic table for header fields, and with large windows for
    /// responses.
    pub(crate) async fn open(api: &Api) -> Self {
        let stream = api.client.open(&["h2"]).await.expect("the handshake succeeds");
        let mut raw =
            Self { stream, next: 1, window: 65_535, unseen: Vec::new(), resets: Vec::new() };
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let table_and_window = [&[0, 1, 0, 0, 0, 0][..], &[0, 4, 0, 16, 0, 0]].concat();
        raw.send(&frame(SETTINGS, 0, 0, &table_and_window)).await;
        raw.send(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())).await;
        raw
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the connection is open");
        self.stream.flush().await.expect("the connection is open");
    }

    /// Sends the headers of a request and returns its stream.
    pub(crate) async fn request(&mut self, fields: &[(String, Vec<u8>)], body: Body) -> u32 {
        let stream = self.next;
        self.next += 2;
        let frames = headers(stream, fields, body);
        self.send(&frames).await;
        stream
    }

    /// Sends a header block on an open stream or the next one.
    pub(crate) async fn block(&mut self, stream: u32, block: &[u8], body: Body) {
        self.next = self.next.max(stream + 2);
        let frames = block_frames(stream, block, body);
        self.send(&frames).await;
    }

    /// Sends requests and resets each one right after its headers.
    pub(crate) async fn request_and_reset(&mut self, fields: &[(String, Vec<u8>)], count: u32) {
        let mut frames = Vec::new();
        for stream in (self.next..).step_by(2).take(count as usize) {
            frames.extend(headers(stream, fields, Body::None));
            frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        self.next += 2 * count;
        self.send(&frames).await;
    }

    /// Sends a part of a body as soon as the window of the connection allows it.
    pub(crate) async fn data(&mut self, stream: u32, payload: &[u8], body: Body) {
        while self.window < payload.len() {
            let frame = self.read().await;
            self.unseen.push(frame);
        }
        self.window -= payload.len();
        let flags = if body == Body::None { END_STREAM } else { 0 };
        self.send(&frame(DATA, flags, stream, payload)).await;
    }

    /// Reads the headers of a response and returns its status.
    pub(crate) async fn status(&mut self, stream: u32) -> u16 {
        let frame = self.next_of(stream).await;
        assert_eq!(frame.kind, HEADERS, "stream {stream} has another frame: {:?}", self.resets);
        status(&frame.payload)
    }

    /// Reads the next part of a body.
    pub(crate) async fn part(&mut self, stream: u32) -> Vec<u8> {
        let frame = self.next_of(stream).await;
        assert_eq!(frame.kind, DATA, "stream {stream} has another frame: {:?}", self.resets);
        frame.payload
    }

    /// Reads a response to its end.
    pub(crate) async fn response(&mut self, stream: u32) -> Response {
        let head = self.next_of(stream).await;
        assert_eq!(head.kind, HEADERS, "stream {stream} has no response: {:?}", self.resets);
        let ended_with_headers = head.flags & END_STREAM != 0;
        let (mut body, mut is_over) = (Vec::new(), ended_with_headers);
        while !is_over {
            let frame = self.next_of(stream).await;
            is_over = frame.flags & END_STREAM != 0;
            body.extend(frame.payload);
        }
        Response { status: status(&head.payload), body, ended_with_headers }
    }

    /// Returns the next frame of a stream that carries a part of the response or resets the stream.
    async fn next_of(&mut self, stream: u32) -> Frame {
        if let Some(at) = self.unseen.iter().position(|frame| frame.stream == stream) {
            return self.unseen.remove(at);
        }
        loop {
            let frame = self.read().await;
            if frame.stream == stream && [HEADERS, DATA, RST_STREAM].contains(&frame.kind) {
                return frame;
            }
            if [HEADERS, DATA].contains(&frame.kind) {
                self.unseen.push(frame);
            }
        }
    }

    async fn read(&mut self) -> Frame {
        let frame = self.read_frame().await.expect("the connection is open");
        let word = || u32::from_be_bytes(frame.payload[..4].try_into().expect("four bytes"));
        match frame.kind {
            GOAWAY => panic!("the server ends the connection: {:?}", frame.payload),
            RST_STREAM => self.resets.push((frame.stream, word())),
            WINDOW_UPDATE if frame.stream == 0 => self.window += word() as usize,
            SETTINGS | PING if frame.flags & ACK == 0 => {
                let payload = if frame.kind == PING { &frame.payload[..] } else { &[] };
                self.send(&self::frame(frame.kind, ACK, 0, payload)).await;
            }
            _ => {}
        }
        frame
    }

    async fn read_frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
        self.stream.read_exact(&mut payload).await?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload })
    }
}

/// The presence of a body after the headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Follows,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes fields in as many frames as they need.
fn headers(stream: u32, fields: &[(String, Vec<u8>)], body: Body) -> Vec<u8> {
    block_frames(stream, &literals(fields), body)
}

/// Encodes fields as literals without indexing (RFC 7541, section 6.2.2).
pub(crate) fn literals(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value] {
            write_length(&mut block, text.len());
            block.extend(text);
        }
    }
    block
}

fn block_frames(stream: u32, block: &[u8], body: Body) -> Vec<u8> {
    let parts: Vec<&[u8]> = block.chunks(LARGEST).collect();
    let mut frames = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let end_headers = if number + 1 == parts.len() { END_HEADERS } else { 0 };
        let end_stream = if number == 0 && body == Body::None { END_STREAM } else { 0 };
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        frames.extend(frame(kind, end_headers | end_stream, stream, part));
    }
    frames
}

/// Encodes an integer with a seven-bit prefix (RFC 7541, section 5.1).
fn write_length(out: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else { return out.push(length as u8) };
    out.push(127);
    while rest >= 128 {
        out.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// Decodes the status at the start of a header block that uses no dynamic table.
fn status(block: &[u8]) -> u16 {
    // Size updates of the dynamic table come first.
    let block = &block[block.iter().take_while(|byte| *byte & 0xe0 == 0x20).count()..];
    match *block {
        [indexed @ 0x88..=0x8e, ..] => {
            [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]
        }
        [0x08 | 0x18 | 0x48, length, ref text @ ..] => {
            let text = &text[..usize::from(length & 0x7f)];
            let digits = if length & 0x80 == 0 { text.to_vec() } else { digits(text) };
            String::from_utf8(digits)
                .expect("a status is ASCII")
                .parse()
                .expect("a status is a number")
        }
        _ => panic!("not a status: {block:?}"),
    }
}

/// Decodes three digits in Huffman code (RFC 7541, appendix B).
fn digits(text: &[u8]) -> Vec<u8> {
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let codes = [
        "00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101", "011110",
        "011111",
    ];
    let (mut left, mut digits) = (&bits[..], Vec::new());
    while digits.len() < 3 {
        let digit = codes
            .iter()
            .position(|code| left.starts_with(code))
            .expect("a status has three digits");
        left = &left[codes[digit].len()..];
        digits.push(b'0' + digit as u8);
    }
    digits
}
