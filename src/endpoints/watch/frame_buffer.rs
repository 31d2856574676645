//! A buffer that joins small frames, so that a burst of events needs few writes.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::endpoints::context::Transport;

/// Frames of at least this size are sent without a copy, in bytes.
const LARGE_FRAME_BYTES: usize = 16 << 10;
/// The size at which a chunk of small frames is complete, in bytes.
pub(super) const CHUNK_BYTES: usize = 64 << 10;

/// Frames that are ready to be sent.
pub(super) struct FrameBuffer {
    transport: Transport,
    chunks: VecDeque<Bytes>,
    /// A small frame that is not joined with others. It shares its memory with other watches.
    single: Option<Bytes>,
    small: BytesMut,
}

impl FrameBuffer {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, chunks: VecDeque::new(), single: None, small: BytesMut::new() }
    }

    /// Appends a frame. For a WebSocket each frame is a chunk of its own.
    pub(super) fn push(&mut self, frame: Bytes) {
        if self.transport == Transport::WebSocket || frame.len() >= LARGE_FRAME_BYTES {
            self.flush();
            self.chunks.push_back(frame);
            return;
        }
        if self.small.is_empty() && self.single.is_none() {
            self.single = Some(frame);
            return;
        }
        if let Some(first) = self.single.take() {
            self.small.extend_from_slice(&first);
        }
        self.small.extend_from_slice(&frame);
        if self.small.len() >= CHUNK_BYTES {
            self.flush();
        }
    }

    /// The size of all chunks, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let single = self.single.as_ref().map_or(0, Bytes::len);
        single + self.small.len() + self.chunks.iter().map(Bytes::len).sum::<usize>()
    }

    /// The next chunk to send; none if the buffer is empty.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.chunks.pop_front().or_else(|| self.take_small())
    }

    fn flush(&mut self) {
        let small = self.take_small();
        self.chunks.extend(small);
    }

    fn take_small(&mut self) -> Option<Bytes> {
        let joined = || (!self.small.is_empty()).then(|| self.small.split().freeze());
        self.single.take().or_else(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_are_joined_in_order() {
        let frames: Vec<Bytes> =
            [10, 20_000, 10, 10, 60_000, 16_000, 16_000, 16_000, 16_000, 16_000, 5]
                .into_iter()
                .enumerate()
                .map(|(number, size)| vec![number as u8; size].into())
                .collect();
        let mut buffer = FrameBuffer::new(Transport::Stream);
        frames.iter().for_each(|frame| buffer.push(frame.clone()));
        let sent: Vec<Bytes> = std::iter::from_fn(|| buffer.pop()).collect();
        assert_eq!(sent.concat(), frames.concat());
        assert_eq!(sent.len(), 6);
    }
}
