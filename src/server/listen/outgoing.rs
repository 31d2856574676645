//! The frames that h2 sends, with resets of malformed requests turned into responses.

use std::io::IoSlice;

use super::frames::{END_HEADERS, END_STREAM, FrameHead, Frames, HEAD, HEADERS, RST_STREAM};
use super::unanswered::{HeaderBlock, Response, Unanswered};

/// The bytes of a RST_STREAM frame.
const RESET: usize = HEAD + 4;

/// Error codes (RFC 9113, section 7).
const NO_ERROR: [u8; 4] = 0x0_u32.to_be_bytes();
const PROTOCOL_ERROR: [u8; 4] = 0x1_u32.to_be_bytes();
const FLOW_CONTROL_ERROR: [u8; 4] = 0x3_u32.to_be_bytes();
const REFUSED_STREAM: [u8; 4] = 0x7_u32.to_be_bytes();

/// `:status: 400`, entry 12 of HPACK's static table (RFC 7541, appendix A). It neither needs nor changes the dynamic
/// table, which only h2 knows.
const BAD_REQUEST: &[u8] = &[0x8c];
/// `:status: 414`, a literal that is not indexed (RFC 7541, section 6.2.2).
const URI_TOO_LONG: &[u8] = &[0x08, 3, b'4', b'1', b'4'];
/// `:status: 431`, likewise.
const HEADERS_TOO_LARGE: &[u8] = &[0x08, 3, b'4', b'3', b'1'];

/// The longest URL that the library `http` reads, in bytes.
const LONGEST_URL: u32 = 65_534;
/// The size from which on a header block may contain a longer URL: the shortest codes of HPACK have five bits.
const BLOCK_OF_LONG_URL: u32 = LONGEST_URL / 8 * 5;

/// The position in the bytes that h2 sends.
#[derive(Debug)]
pub(super) struct Outgoing {
    at: Position,
    /// The beginning of a frame of which more must be known before it is sent, if at all.
    held: Vec<u8>,
    /// Bytes to be sent before all others.
    rest: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Position {
    frames: Frames,
    block: HeaderBlock,
}

impl Outgoing {
    /// Nothing is sent yet.
    pub(super) fn new() -> Self {
        let at = Position { frames: Frames::after(0), block: HeaderBlock::default() };
        Self { at, held: Vec::new(), rest: Vec::new() }
    }

    /// Bytes to be sent before all others.
    pub(super) fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// Takes note that so many of these bytes are sent.
    pub(super) fn rest_is_sent(&mut self, count: usize) {
        self.rest.drain(..count);
    }

    /// Sends the beginning of a frame that will never be complete.
    pub(super) fn give_up(&mut self) {
        self.rest.append(&mut self.held);
    }

    /// The number of bytes at the start that may be sent as they are.
    pub(super) fn passing(&self, pieces: &[IoSlice<'_>]) -> usize {
        if !self.held.is_empty() {
            return 0;
        }
        let mut at = self.at.clone();
        let mut passed = 0;
        // A header whose beginning is sent was judged when that was.
        let mut is_judged = at.frames.known() > 0;
        for (number, piece) in pieces.iter().enumerate() {
            let mut bytes: &[u8] = piece;
            while !bytes.is_empty() {
                let (count, head) = at.frames.advance(bytes);
                bytes = &bytes[count..];
                passed += count;
                let Some(head) = head else { continue };
                let may_change = head.kind == RST_STREAM && !at.block.is_open() && !is_judged;
                if may_change && !is_harmless(head, bytes, &pieces[number + 1..]) {
                    return passed - HEAD;
                }
                is_judged = false;
                at.block.passed(head);
            }
        }
        match at.frames.known() {
            // The beginning of a header may become anything.
            known if !is_judged && !at.block.is_open() => passed - known,
            _ => passed,
        }
    }

    /// Takes note that so many bytes are sent as they are.
    pub(super) fn pass(&mut self, pieces: &[IoSlice<'_>], count: usize, streams: &mut Unanswered) {
        let mut left = count;
        for piece in pieces {
            let mut bytes = &piece[..piece.len().min(left)];
            left -= bytes.len();
            while !bytes.is_empty() {
                let (passed, head) = self.at.frames.advance(bytes);
                bytes = &bytes[passed..];
                if let Some(head) = head {
                    self.at.passed(head, streams);
                }
            }
        }
    }

    /// Takes bytes of a frame of which more must be known. Returns how many, and how many resets they complete that the
    /// client is to blame for.
    pub(super) fn take(&mut self, pieces: &[IoSlice<'_>], streams: &mut Unanswered) -> (usize, usize) {
        let mut taken = 0;
        for byte in pieces.iter().flat_map(|piece| piece.iter()) {
            self.held.push(*byte);
            taken += 1;
            if self.held.len() == self.wanted() {
                return (taken, self.decide(streams));
            }
        }
        (taken, 0)
    }

    /// The number of bytes that must be known of the frame.
    fn wanted(&self) -> usize {
        let head = self.held.first_chunk().map(FrameHead::parse);
        if head.is_some_and(|head| head.kind == RST_STREAM && head.length == 4) { RESET } else { HEAD }
    }

    /// Sends the frame that is held, or what takes its place. Returns how many resets this is that the client is to blame for.
    fn decide(&mut self, streams: &mut Unanswered) -> usize {
        let held = std::mem::take(&mut self.held);
        let (Some(head), Some(&code)) = (held.first_chunk().map(FrameHead::parse), held[HEAD..].first_chunk()) else {
            self.send(&held, streams);
            return 0;
        };
        match streams.response(head.stream) {
            Response::Awaited { block, has_long_name } if code == PROTOCOL_ERROR => {
                let status = match has_long_name {
                    true => HEADERS_TOO_LARGE,
                    false if block >= BLOCK_OF_LONG_URL => URI_TOO_LONG,
                    false => BAD_REQUEST,
                };
                self.send(&response(head.stream, status), streams);
                self.send(&reset(head, NO_ERROR), streams);
            }
            // RFC 9113, section 8.1: a server may ask a client to stop after a complete response. h2 gives its own response,
            // 431, such a reset.
            Response::Over if code == PROTOCOL_ERROR => self.send(&reset(head, NO_ERROR), streams),
            _ => self.send(&held, streams),
        }
        usize::from([PROTOCOL_ERROR, FLOW_CONTROL_ERROR, REFUSED_STREAM].contains(&code))
    }

    fn send(&mut self, bytes: &[u8], streams: &mut Unanswered) {
        self.pass(&[IoSlice::new(bytes)], bytes.len(), streams);
        self.rest.extend_from_slice(bytes);
    }
}

impl Position {
    fn passed(&mut self, head: FrameHead, streams: &mut Unanswered) {
        self.block.passed(head);
        streams.sent(head);
    }
}

/// Returns true if a reset is complete, and the client did not cause it.
fn is_harmless(head: FrameHead, bytes: &[u8], later: &[IoSlice<'_>]) -> bool {
    let mut code = bytes.iter().chain(later.iter().flat_map(|piece| piece.iter())).copied();
    let code = [code.next(), code.next(), code.next(), code.next()];
    let is = |other: [u8; 4]| code == other.map(Some);
    head.length == 4
        && code.iter().all(Option::is_some)
        && ![PROTOCOL_ERROR, FLOW_CONTROL_ERROR, REFUSED_STREAM].into_iter().any(is)
}

/// A response without a body.
fn response(stream: u32, block: &[u8]) -> Vec<u8> {
    let length = u32::try_from(block.len()).expect("a status is short");
    let head = FrameHead { length, kind: HEADERS, flags: END_HEADERS | END_STREAM, stream };
    [&head.bytes()[..], block].concat()
}

fn reset(head: FrameHead, code: [u8; 4]) -> Vec<u8> {
    [&head.bytes()[..], &code].concat()
}
