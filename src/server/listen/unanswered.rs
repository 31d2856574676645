//! The streams that a client opened on a connection of HTTP/2 and whose response has not ended, by frame headers.

use std::collections::HashMap;

use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, HEADERS, RST_STREAM};

/// Progress of the response to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// Its headers have not been sent.
    Awaited {
        /// The size of the request's header block as it was sent, in bytes.
        block: u32,
        /// True if the name of a header was too long.
        has_long_name: bool,
    },
    /// Its headers have been sent, its end has not.
    Begun,
    /// There is nothing more to send: the response is complete, or either side has reset the stream.
    Over,
    /// The client has not opened this stream.
    Idle,
}

/// The open streams of a connection.
#[derive(Debug)]
pub(super) struct Unanswered {
    streams: HashMap<u32, Response>,
    /// The most streams that are remembered. Of further ones nothing is known, which the caller takes for [`Response::Begun`].
    most: usize,
    /// The highest stream that the client has opened.
    highest: u32,
    /// The stream whose request headers are in transit, in several frames.
    opening: Option<u32>,
    /// True if a stream was not remembered.
    is_overrun: bool,
}

impl Unanswered {
    pub(super) fn new(most: usize) -> Self {
        Self { streams: HashMap::new(), most, highest: 0, opening: None, is_overrun: false }
    }

    /// Takes note of a frame of the client.
    pub(super) fn received(&mut self, head: FrameHead) {
        let FrameHead { length, kind, stream, .. } = head;
        match kind {
            // Clients open streams of odd numbers, each higher than those before. Other HEADERS are trailers, or an error.
            HEADERS if !stream.is_multiple_of(2) && stream > self.highest => {
                self.highest = stream;
                self.opening = (!head.has(END_HEADERS)).then_some(stream);
                if self.streams.len() < self.most {
                    self.streams.insert(stream, Response::Awaited { block: length, has_long_name: false });
                } else {
                    self.is_overrun = true;
                }
            }
            CONTINUATION if self.opening == Some(stream) => {
                if let Some(Response::Awaited { block, .. }) = self.streams.get_mut(&stream) {
                    *block = block.saturating_add(length);
                }
                if head.has(END_HEADERS) {
                    self.opening = None;
                }
            }
            RST_STREAM => drop(self.streams.remove(&stream)),
            _ => {}
        }
    }

    /// Takes note of a header name that is too long, in the header block in transit.
    pub(super) fn found_long_name(&mut self) {
        // Trailers have no response of their own. The last frame of a block is too small for the beginning of such a name.
        let Some(stream) = self.opening else { return };
        if let Some(Response::Awaited { has_long_name, .. }) = self.streams.get_mut(&stream) {
            *has_long_name = true;
        }
    }

    /// Takes note of a frame of the server.
    pub(super) fn sent(&mut self, head: FrameHead) {
        match head.kind {
            HEADERS | DATA if head.has(END_STREAM) => drop(self.streams.remove(&head.stream)),
            HEADERS => {
                if let Some(response) = self.streams.get_mut(&head.stream) {
                    *response = Response::Begun;
                }
            }
            RST_STREAM => drop(self.streams.remove(&head.stream)),
            _ => {}
        }
    }

    /// The number of streams that are remembered.
    pub(super) fn count(&self) -> usize {
        self.streams.len()
    }

    /// Progress of the response on a stream.
    pub(super) fn response(&self, stream: u32) -> Response {
        match self.streams.get(&stream) {
            Some(&response) => response,
            None if stream.is_multiple_of(2) || stream > self.highest => Response::Idle,
            // It may be the one that was not remembered.
            None if self.is_overrun => Response::Begun,
            None => Response::Over,
        }
    }
}

/// A header block in transit, whose frames no other frame may interrupt (RFC 9113, section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeaderBlock {
    is_open: bool,
}

impl HeaderBlock {
    /// Takes note of a frame.
    pub(super) fn passed(&mut self, head: FrameHead) {
        match head.kind {
            HEADERS | CONTINUATION => self.is_open = !head.has(END_HEADERS),
            _ => {}
        }
    }

    /// Returns true if a CONTINUATION must come next.
    pub(super) fn is_open(self) -> bool {
        self.is_open
    }
}
