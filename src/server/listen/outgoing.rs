//! Frames from h2, with a response before the reset of a malformed request.

use std::io::IoSlice;

use super::frames::{END_HEADERS, END_STREAM, FrameHead, Frames, HEAD, HEADERS, RST_STREAM};
use super::open_streams::{HeaderBlock, OpenStreams, ResponseState};

/// Size of a RST_STREAM frame in bytes.
const RESET: usize = HEAD + 4;

// Error codes (RFC 9113, section 7).
const NO_ERROR: [u8; 4] = 0x0_u32.to_be_bytes();
const PROTOCOL_ERROR: [u8; 4] = 0x1_u32.to_be_bytes();
const FLOW_CONTROL_ERROR: [u8; 4] = 0x3_u32.to_be_bytes();
const REFUSED_STREAM: [u8; 4] = 0x7_u32.to_be_bytes();

/// `:status: 400`, entry 12 of the static table of HPACK (RFC 7541, appendix A). It neither needs
/// nor changes the dynamic table, whose state only h2 has.
const BAD_REQUEST: &[u8] = &[0x8c];
/// `:status: 414`, a literal without indexing (RFC 7541, section 6.2.2).
const URI_TOO_LONG: &[u8] = &[0x08, 3, b'4', b'1', b'4'];
/// `:status: 431`, a literal without indexing.
const HEADERS_TOO_LARGE: &[u8] = &[0x08, 3, b'4', b'3', b'1'];

/// Longest URL that the crate `http` accepts, in bytes.
const MAX_URL: u32 = 65_534;
/// Minimum size of a header block that can contain a longer URL: the shortest Huffman codes of
/// HPACK have five bits.
const MIN_BLOCK_OF_LONG_URL: u32 = MAX_URL / 8 * 5;

/// State of the bytes from h2.
#[derive(Debug)]
pub(super) struct Outgoing {
    at: FramePosition,
    /// Start of a frame that is held until more of it arrives.
    held: Vec<u8>,
    /// Bytes to send before all others.
    pending: Vec<u8>,
}

#[derive(Clone, Debug)]
struct FramePosition {
    frames: Frames,
    block: HeaderBlock,
}

impl Outgoing {
    /// State before the first byte.
    pub(super) fn new() -> Self {
        let at = FramePosition { frames: Frames::after(0), block: HeaderBlock::default() };
        Self { at, held: Vec::new(), pending: Vec::new() }
    }

    /// Bytes to send before all others.
    pub(super) fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Removes pending bytes that have been sent.
    pub(super) fn pending_sent(&mut self, count: usize) {
        self.pending.drain(..count);
    }

    /// Releases the start of a frame that will never be complete.
    pub(super) fn release_held(&mut self) {
        self.pending.append(&mut self.held);
    }

    /// Number of bytes at the start that may be sent unchanged.
    pub(super) fn passable(&self, pieces: &[IoSlice<'_>]) -> usize {
        if !self.held.is_empty() {
            return 0;
        }
        let mut at = self.at.clone();
        let mut passed = 0;
        // A header whose first bytes have been sent passes unchanged.
        let mut header_has_started = at.frames.known() > 0;
        for (number, piece) in pieces.iter().enumerate() {
            let mut bytes: &[u8] = piece;
            while !bytes.is_empty() {
                let (count, head) = at.frames.advance(bytes);
                bytes = &bytes[count..];
                passed += count;
                let Some(head) = head else { continue };
                let may_change =
                    head.kind == RST_STREAM && !at.block.is_open() && !header_has_started;
                if may_change && !is_harmless(head, bytes, &pieces[number + 1..]) {
                    return passed - HEAD;
                }
                header_has_started = false;
                at.block.passed(head);
            }
        }
        match at.frames.known() {
            // The first bytes of a header may belong to a reset.
            known if !header_has_started && !at.block.is_open() => passed - known,
            _ => passed,
        }
    }

    /// Tracks `count` bytes that were sent unchanged.
    pub(super) fn pass(&mut self, pieces: &[IoSlice<'_>], count: usize, streams: &mut OpenStreams) {
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

    /// Holds bytes of an incomplete frame. Returns the number of bytes taken, and the number of
    /// resets caused by the client that they complete.
    pub(super) fn take(
        &mut self,
        pieces: &[IoSlice<'_>],
        streams: &mut OpenStreams,
    ) -> (usize, usize) {
        let mut taken = 0;
        for byte in pieces.iter().flat_map(|piece| piece.iter()) {
            self.held.push(*byte);
            taken += 1;
            if self.held.len() == self.needed() {
                return (taken, self.complete_frame(streams));
            }
        }
        (taken, 0)
    }

    /// Number of bytes of the frame that are needed.
    fn needed(&self) -> usize {
        let head = self.held.first_chunk().map(FrameHead::parse);
        if head.is_some_and(|head| head.kind == RST_STREAM && head.length == 4) {
            RESET
        } else {
            HEAD
        }
    }

    /// Sends the held frame or its replacement. Returns the number of resets caused by the client,
    /// 0 or 1.
    fn complete_frame(&mut self, streams: &mut OpenStreams) -> usize {
        let held = std::mem::take(&mut self.held);
        let (Some(head), Some(&code)) =
            (held.first_chunk().map(FrameHead::parse), held[HEAD..].first_chunk())
        else {
            self.send(&held, streams);
            return 0;
        };
        match streams.response(head.stream) {
            ResponseState::Awaited { block, has_long_name, .. } if code == PROTOCOL_ERROR => {
                let status = match has_long_name {
                    true => HEADERS_TOO_LARGE,
                    false if block >= MIN_BLOCK_OF_LONG_URL => URI_TOO_LONG,
                    false => BAD_REQUEST,
                };
                self.send(&response(head.stream, status), streams);
                self.send(&reset(head, NO_ERROR), streams);
            }
            // After a complete response the code is NO_ERROR (RFC 9113, section 8.1). h2 sends
            // PROTOCOL_ERROR after its own response 431.
            ResponseState::Complete if code == PROTOCOL_ERROR => {
                self.send(&reset(head, NO_ERROR), streams)
            }
            _ => self.send(&held, streams),
        }
        usize::from([PROTOCOL_ERROR, FLOW_CONTROL_ERROR, REFUSED_STREAM].contains(&code))
    }

    fn send(&mut self, bytes: &[u8], streams: &mut OpenStreams) {
        self.pass(&[IoSlice::new(bytes)], bytes.len(), streams);
        self.pending.extend_from_slice(bytes);
    }
}

impl FramePosition {
    fn passed(&mut self, head: FrameHead, streams: &mut OpenStreams) {
        self.block.passed(head);
        streams.sent(head);
    }
}

/// Returns true if a reset is complete and was not caused by the client.
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
    let length = u32::try_from(block.len()).expect("a status has a few bytes");
    let head = FrameHead { length, kind: HEADERS, flags: END_HEADERS | END_STREAM, stream };
    [&head.bytes()[..], block].concat()
}

fn reset(head: FrameHead, code: [u8; 4]) -> Vec<u8> {
    [&head.bytes()[..], &code].concat()
}
