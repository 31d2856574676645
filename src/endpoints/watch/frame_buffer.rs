//! The frames of a watch on their way out: small ones together, so that a burst costs few writes, and none waits for another.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::endpoints::context::Transport;

/// Frames from this size on are sent as they are, without a copy.
const LARGE: usize = 16 << 10;
/// How large a part of small frames becomes, about.
const PART: usize = 64 << 10;

/// Frames that are ready to be sent.
pub(super) struct FrameBuffer {
    transport: Transport,
    whole: VecDeque<Bytes>,
    small: BytesMut,
}

impl FrameBuffer {
    /// Nothing to be sent this way yet.
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, whole: VecDeque::new(), small: BytesMut::new() }
    }

    /// Adds a frame behind the others. A message is one part, and never less.
    pub(super) fn push(&mut self, frame: Bytes) {
        if self.transport == Transport::WebSocket || frame.len() >= LARGE {
            self.close();
            self.whole.push_back(frame);
            return;
        }
        self.small.extend_from_slice(&frame);
        if self.small.len() >= PART {
            self.close();
        }
    }

    /// What is to be sent next; none when all is sent.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.whole.pop_front().or_else(|| {
            self.close();
            self.whole.pop_front()
        })
    }

    fn close(&mut self) {
        if !self.small.is_empty() {
            self.whole.push_back(self.small.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_are_put_together_and_all_keep_their_order() {
        let frames: Vec<Bytes> = [10, 20_000, 10, 10, 60_000, 16_000, 16_000, 16_000, 16_000, 16_000, 5]
            .into_iter()
            .enumerate()
            .map(|(number, size)| vec![number as u8; size].into())
            .collect();
        let mut parts = FrameBuffer::new(Transport::Stream);
        frames.iter().for_each(|frame| parts.push(frame.clone()));
        let sent: Vec<Bytes> = std::iter::from_fn(|| parts.pop()).collect();
        assert_eq!(sent.concat(), frames.concat());
        assert_eq!(sent.len(), 6);
    }
}
