//! Streams of an HTTP/2 connection whose response is not complete, tracked by frame headers.

use std::collections::HashMap;

use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, HEADERS, RST_STREAM};

/// Progress of the response to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseState {
    /// No headers have been sent.
    Awaited {
        /// Size of the encoded header block of the request in bytes.
        block: u32,
        /// Size of the encoded trailers in bytes.
        trailers: u32,
        /// True if a header name was too long.
        has_long_name: bool,
    },
    /// The headers have been sent, the end has not.
    Started,
    /// The response is complete, or either side has reset the stream.
    Complete,
    /// The client has not opened this stream.
    Idle,
}

/// The open streams of a connection.
#[derive(Debug)]
pub(super) struct OpenStreams {
    streams: HashMap<u32, ResponseState>,
    /// Maximum number of streams to track. Further ones count as [`ResponseState::Started`].
    max: usize,
    /// Highest stream that the client has opened.
    highest: u32,
    /// Stream whose request headers are incomplete and continue in further frames.
    opening: Option<u32>,
    /// Stream whose request trailers are incomplete and continue in further frames.
    closing: Option<u32>,
    /// True if a stream was not tracked.
    has_overflowed: bool,
    /// Total size of the encoded headers and trailers of requests without a response, in bytes.
    header_bytes: usize,
}

impl OpenStreams {
    pub(super) fn new(max: usize) -> Self {
        Self {
            streams: HashMap::new(),
            max,
            highest: 0,
            opening: None,
            closing: None,
            has_overflowed: false,
            header_bytes: 0,
        }
    }

    /// Tracks a frame from the client.
    pub(super) fn received(&mut self, head: FrameHead) {
        let FrameHead { length, kind, stream, .. } = head;
        match kind {
            // Clients open streams with increasing odd numbers. Other HEADERS are trailers, or an
            // error.
            HEADERS if !stream.is_multiple_of(2) && stream > self.highest => {
                self.highest = stream;
                self.opening = (!head.has(END_HEADERS)).then_some(stream);
                if self.streams.len() < self.max {
                    self.streams.insert(
                        stream,
                        ResponseState::Awaited { block: length, trailers: 0, has_long_name: false },
                    );
                    self.header_bytes += to_usize(length);
                } else {
                    self.has_overflowed = true;
                }
            }
            CONTINUATION if self.opening == Some(stream) => {
                if let Some(ResponseState::Awaited { block, .. }) = self.streams.get_mut(&stream) {
                    *block = block.saturating_add(length);
                    self.header_bytes += to_usize(length);
                }
                if head.has(END_HEADERS) {
                    self.opening = None;
                }
            }
            HEADERS => {
                self.closing = (!head.has(END_HEADERS)).then_some(stream);
                self.add_trailers(stream, length);
            }
            CONTINUATION if self.closing == Some(stream) => {
                self.add_trailers(stream, length);
                if head.has(END_HEADERS) {
                    self.closing = None;
                }
            }
            RST_STREAM => self.remove(stream),
            _ => {}
        }
    }

    fn add_trailers(&mut self, stream: u32, length: u32) {
        if let Some(ResponseState::Awaited { trailers, .. }) = self.streams.get_mut(&stream) {
            *trailers = trailers.saturating_add(length);
            self.header_bytes += to_usize(length);
        }
    }

    /// Records a header name that is too long in the current header block.
    pub(super) fn found_long_name(&mut self) {
        // Trailers have no response. The last frame of a block is too small for the start of such a
        // name.
        let Some(stream) = self.opening else { return };
        if let Some(ResponseState::Awaited { has_long_name, .. }) = self.streams.get_mut(&stream) {
            *has_long_name = true;
        }
    }

    /// Tracks a frame to the client.
    pub(super) fn sent(&mut self, head: FrameHead) {
        match head.kind {
            HEADERS | DATA if head.has(END_STREAM) => self.remove(head.stream),
            HEADERS => {
                if let Some(response) = self.streams.get_mut(&head.stream) {
                    let state = std::mem::replace(response, ResponseState::Started);
                    self.forget_block(state);
                }
            }
            RST_STREAM => self.remove(head.stream),
            _ => {}
        }
    }

    fn remove(&mut self, stream: u32) {
        if let Some(state) = self.streams.remove(&stream) {
            self.forget_block(state);
        }
    }

    fn forget_block(&mut self, state: ResponseState) {
        if let ResponseState::Awaited { block, trailers, .. } = state {
            let size = to_usize(block).saturating_add(to_usize(trailers));
            self.header_bytes = self.header_bytes.saturating_sub(size);
        }
    }

    /// Total size of the encoded headers and trailers of requests without a response, in bytes.
    pub(super) fn header_bytes(&self) -> usize {
        self.header_bytes
    }

    /// Returns true if a header block is incomplete.
    pub(super) fn has_open_block(&self) -> bool {
        self.opening.is_some() || self.closing.is_some()
    }

    /// Number of tracked streams.
    pub(super) fn count(&self) -> usize {
        self.streams.len()
    }

    /// Progress of the response on a stream.
    pub(super) fn response(&self, stream: u32) -> ResponseState {
        match self.streams.get(&stream) {
            Some(&response) => response,
            None if stream.is_multiple_of(2) || stream > self.highest => ResponseState::Idle,
            // It may be a stream that was not tracked.
            None if self.has_overflowed => ResponseState::Started,
            None => ResponseState::Complete,
        }
    }
}

/// State of a header block, whose frames no other frame may interrupt (RFC 9113, section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeaderBlock {
    is_open: bool,
}

impl HeaderBlock {
    /// Tracks a frame.
    pub(super) fn passed(&mut self, head: FrameHead) {
        match head.kind {
            HEADERS | CONTINUATION => self.is_open = !head.has(END_HEADERS),
            _ => {}
        }
    }

    /// Returns true if the next frame must be a CONTINUATION.
    pub(super) fn is_open(self) -> bool {
        self.is_open
    }
}

fn to_usize(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
