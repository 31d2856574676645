//! Frame headers of HTTP/2 (RFC 9113, sections 4.1 and 6), found in bytes that arrive in pieces of any size. Payloads are
//! skipped, not read.

/// The bytes of a frame header.
pub(super) const HEAD: usize = 9;
/// The bytes that a client sends before its first frame (RFC 9113, section 3.4).
pub(super) const PREFACE: u32 = 24;

/// Frame types.
pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const CONTINUATION: u8 = 0x9;

/// Frame flags.
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// The bytes of the payload.
    pub(super) length: u32,
    /// The frame type.
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// The stream, without the reserved bit.
    pub(super) stream: u32,
}

impl FrameHead {
    /// Reads a header from its bytes.
    pub(super) fn parse(bytes: &[u8; HEAD]) -> Self {
        let [l0, l1, l2, kind, flags, stream @ ..] = *bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    /// The bytes of the header.
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
    /// The bytes of `head` that are known.
    known: usize,
    /// The bytes that still come before the next header.
    skip: u32,
}

impl Frames {
    /// The position before the first frame, which comes after `preface` bytes.
    pub(super) fn after(preface: u32) -> Self {
        Self { head: [0; HEAD], known: 0, skip: preface }
    }

    /// The bytes known of a header of which the rest is to come.
    pub(super) fn known(&self) -> usize {
        self.known
    }

    /// The number of these bytes that come before the next header.
    pub(super) fn payload(&self, bytes: &[u8]) -> usize {
        bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX))
    }

    /// Moves past bytes, at most to the end of the next header. Returns how many bytes it passed, and the header if it
    /// is complete.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, Option<FrameHead>) {
        let skipped = self.payload(bytes);
        self.skip -= u32::try_from(skipped).expect("it is at most `skip`");
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
    fn a_header_is_written_as_it_was_read() {
        let head = FrameHead { length: 0x0102_0304 & 0xff_ffff, kind: 8, flags: 9, stream: 0x7eff_ffff };
        assert_eq!(FrameHead::parse(&head.bytes()), head);
    }

    #[test]
    fn headers_are_found_however_the_bytes_are_cut() {
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
