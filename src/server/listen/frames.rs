//! Frame headers of HTTP/2 (RFC 9113, sections 4.1 and 6), parsed from chunks of any size. Payloads
//! are skipped.

/// Size of a frame header in bytes.
pub(super) const HEAD: usize = 9;
/// Size of the client connection preface in bytes (RFC 9113, section 3.4).
pub(super) const PREFACE: u32 = 24;

// Frame types.
pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const CONTINUATION: u8 = 0x9;

// Frame flags.
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Size of the payload in bytes.
    pub(super) length: u32,
    /// Frame type.
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Stream identifier without the reserved bit.
    pub(super) stream: u32,
}

impl FrameHead {
    /// Decodes a header.
    pub(super) fn parse(bytes: &[u8; HEAD]) -> Self {
        let [l0, l1, l2, kind, flags, stream @ ..] = *bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    /// Encodes the header.
    pub(super) fn bytes(self) -> [u8; HEAD] {
        let [_, l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A position in a sequence of frames.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// Number of bytes of `head` that have arrived.
    known: usize,
    /// Number of bytes before the next header.
    skip: u32,
}

impl Frames {
    /// The position before the first frame, which follows `preface` bytes.
    pub(super) fn after(preface: u32) -> Self {
        Self { head: [0; HEAD], known: 0, skip: preface }
    }

    /// Number of bytes that have arrived of an incomplete header.
    pub(super) fn known(&self) -> usize {
        self.known
    }

    /// Number of these bytes that belong to the current payload.
    pub(super) fn payload(&self, bytes: &[u8]) -> usize {
        bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX))
    }

    /// Advances over bytes, at most to the end of the next header. Returns the number of bytes
    /// consumed, and the header if it is complete.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, Option<FrameHead>) {
        let skipped = self.payload(bytes);
        self.skip -= u32::try_from(skipped).expect("at most `skip`, which is a u32");
        let taken = (bytes.len() - skipped).min(HEAD - self.known);
        let end = skipped + taken;
        self.head[self.known..self.known + taken].copy_from_slice(&bytes[skipped..end]);
        self.known += taken;
        if self.known < HEAD {
            return (end, None);
        }
        let head = FrameHead::parse(&self.head);
        self.known = 0;
        self.skip = head.length;
        (end, Some(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_header_round_trips() {
        let head =
            FrameHead { length: 0x0102_0304 & 0xff_ffff, kind: 8, flags: 9, stream: 0x7eff_ffff };
        assert_eq!(FrameHead::parse(&head.bytes()), head);
    }

    #[test]
    fn headers_are_found_in_chunks_of_any_size() {
        let heads = [(0, DATA, 1), (3, HEADERS, 3), (300, 0xff, 0x7fff_ffff), (0, CONTINUATION, 0)]
            .map(|(length, kind, stream)| FrameHead { length, kind, flags: 5, stream });
        let mut bytes = vec![b'p'; PREFACE as usize];
        for head in heads {
            bytes.extend(head.bytes());
            bytes.extend(vec![0xff; head.length as usize]);
        }
        for size in 1..bytes.len() {
            let (mut frames, mut found) = (Frames::after(PREFACE), Vec::new());
            for mut piece in bytes.chunks(size) {
                while !piece.is_empty() {
                    let (passed, head) = frames.advance(piece);
                    piece = &piece[passed..];
                    found.extend(head);
                }
            }
            assert_eq!(found, heads, "{size}");
        }
    }
}
