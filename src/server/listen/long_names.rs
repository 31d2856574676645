//! Header names that are too long for the crate `http`.
//!
//! h2 closes the connection when it decodes one. Go's server and `ReverseProxy` forward them, so
//! one request would end all others on the same connection of a front proxy.
//!
//! The scanner follows the instructions of a header block (RFC 7541, section 6) by their integers
//! and lengths. It neither decodes strings nor keeps a table. It overwrites a name that is too
//! long, in place, with fields that h2 can decode and for which it resets only the stream:
//!
//! ```text
//! &&&&...&:                 a name of up to 16,510 bytes, with an empty value
//! content-length: xxx...x   the rest of the name
//! accept-charset: ...       the value, unchanged
//! ```
//!
//! h2 decodes a header block frame by frame, and drops the error of a field when further frames
//! follow. The replacement is therefore well-formed, and h2 rejects its `content-length` once the
//! block is complete.
//!
//! Names in literals with incremental indexing are not replaced, because that would change the
//! dynamic table. Go's encoder (`shouldIndex` in golang.org/x/net/http2/hpack/encode.go) does not
//! index a field that is larger than the table.

use super::frames::{CONTINUATION, END_HEADERS, FrameHead, HEADERS, PADDED, PRIORITY};

/// Longest name that the crate `http` accepts, in bytes.
const MAX_NAME: u32 = 65_535;
/// Longest Huffman string that cannot encode a longer name, in bytes: the shortest codes have five
/// bits.
const MAX_HUFFMAN_NAME: u32 = (MAX_NAME + 1) / 8 * 5 - 1;
/// Maximum number of bytes after the prefix of an integer that h2 accepts.
const MAX_INTEGER_BYTES: u32 = 4;
/// Prefix of a string length that continues in further bytes.
const LENGTH_PREFIX: u8 = 0x7f;
/// Size of the stream dependency and weight of a HEADERS frame in bytes.
const PRIORITY_BYTES: u32 = 5;

/// Scanner of the header blocks of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct LongNameScanner {
    /// Current part of the frame.
    part: FramePart,
    /// Number of remaining bytes of the frame, without the padding once its length is known.
    left: u32,
    /// Position in the header block.
    state: BlockState,
    /// True if the block is scanned and continues in further frames.
    is_open: bool,
    /// Number of instructions of the block.
    fields: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FramePart {
    /// A payload that is not scanned.
    #[default]
    Other,
    /// Length of the padding, before `priority` bytes of the priority.
    PadLength { priority: u32 },
    /// Priority with this number of remaining bytes.
    Priority(u32),
    /// Fragment of a header block.
    Fragment,
}

/// A position in a header block.
#[derive(Clone, Copy, Debug, Default)]
enum BlockState {
    /// Before an instruction.
    #[default]
    Instruction,
    /// Inside the index or size of an instruction.
    Index { then: AfterInteger },
    /// Before the length of a string.
    Length(StringRole),
    /// Inside the length of a string.
    LongLength { text: StringRole, code: StringEncoding, length: u32, known: u32 },
    /// Inside a string.
    String { text: StringRole, left: u32 },
    /// Inside a name that is too long.
    LongName(Replacement),
    /// After an integer that h2 rejects.
    Invalid,
}

/// The element after an integer.
#[derive(Clone, Copy, Debug)]
enum AfterInteger {
    Instruction,
    Value,
}

/// The role of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StringRole {
    /// Name of a literal without indexing.
    Name,
    /// Name that enters the dynamic table.
    IndexedName,
    Value,
}

/// The encoding of a string.
#[derive(Clone, Copy, Debug)]
enum StringEncoding {
    Raw,
    Huffman,
}

/// Bytes that replace a name.
#[derive(Clone, Copy, Debug)]
struct Replacement {
    /// Byte that the shorter name repeats.
    letter: u8,
    /// Size of the shorter name in bytes.
    short: u32,
    /// Size of the original name in bytes.
    length: u32,
    /// Index of the next byte.
    at: u32,
}

impl LongNameScanner {
    /// Starts the next frame.
    pub(super) fn begin(&mut self, head: FrameHead) {
        self.part = FramePart::Other;
        match head.kind {
            // A block of this size cannot contain such a name.
            HEADERS if head.has(END_HEADERS) && head.length <= MAX_HUFFMAN_NAME => {
                self.is_open = false
            }
            HEADERS => {
                self.state = BlockState::Instruction;
                self.fields = 0;
                let priority = if head.has(PRIORITY) { PRIORITY_BYTES } else { 0 };
                self.part = if head.has(PADDED) {
                    FramePart::PadLength { priority }
                } else {
                    FramePart::Priority(priority)
                };
                self.is_open = !head.has(END_HEADERS);
            }
            CONTINUATION if self.is_open => {
                self.part = FramePart::Fragment;
                self.is_open = !head.has(END_HEADERS);
            }
            _ => self.is_open = false,
        }
        self.left = head.length;
    }

    /// Number of header fields of the block so far, if it continues in further frames.
    pub(super) fn open_fields(&self) -> usize {
        if self.is_open { self.fields } else { 0 }
    }

    /// Scans a chunk of the payload, and overwrites names in it that are too long. Returns the
    /// number of such names that start in the chunk.
    pub(super) fn pass(&mut self, mut bytes: &mut [u8]) -> usize {
        let mut found = 0;
        while !bytes.is_empty() {
            let count = match self.part {
                FramePart::Other => return found,
                FramePart::PadLength { priority } => {
                    self.left = self.left.saturating_sub(u32::from(bytes[0]));
                    self.part = FramePart::Priority(priority);
                    1
                }
                FramePart::Priority(0) => {
                    self.part = FramePart::Fragment;
                    continue;
                }
                FramePart::Priority(left) => {
                    self.part = FramePart::Priority(left - 1);
                    1
                }
                FramePart::Fragment if self.left == 0 => return found,
                FramePart::Fragment => {
                    let max = bytes.len().min(to_usize(self.left));
                    self.fields += usize::from(matches!(self.state, BlockState::Instruction));
                    let (count, is_found) = self.state.advance(&mut bytes[..max]);
                    found += usize::from(is_found);
                    count
                }
            };
            self.left = self.left.saturating_sub(to_u32(count));
            bytes = &mut bytes[count..];
        }
        found
    }
}

impl BlockState {
    /// Advances over bytes of a block; `bytes` is not empty. Returns the number of bytes consumed,
    /// and true if the length of a name that is too long ended.
    fn advance(&mut self, bytes: &mut [u8]) -> (usize, bool) {
        match self {
            Self::String { text, left } => {
                let count = bytes.len().min(to_usize(*left));
                *self = Self::string(*text, *left - to_u32(count));
                (count, false)
            }
            Self::LongName(name) => {
                let count = bytes.len().min(to_usize(name.length - name.at));
                for byte in &mut bytes[..count] {
                    *byte = name.next_byte();
                }
                if name.at == name.length {
                    *self = Self::Length(StringRole::Value);
                }
                (count, false)
            }
            Self::Invalid => (bytes.len(), false),
            Self::Instruction => {
                *self = Self::instruction(bytes[0]);
                (1, false)
            }
            Self::Index { then } => {
                if bytes[0] & 0x80 == 0 {
                    *self = then.state();
                }
                (1, false)
            }
            Self::Length(text) => {
                let (text, prefix) = (*text, bytes[0] & LENGTH_PREFIX);
                let code = if bytes[0] & 0x80 == 0 {
                    StringEncoding::Raw
                } else {
                    StringEncoding::Huffman
                };
                *self = match prefix {
                    LENGTH_PREFIX => {
                        Self::LongLength { text, code, length: LENGTH_PREFIX.into(), known: 0 }
                    }
                    length => Self::string(text, length.into()),
                };
                (1, false)
            }
            Self::LongLength { text, code, length, known } => {
                *length += u32::from(bytes[0] & 0x7f) << (7 * *known);
                *known += 1;
                if bytes[0] & 0x80 != 0 {
                    if *known == MAX_INTEGER_BYTES {
                        *self = Self::Invalid;
                    }
                    return (1, false);
                }
                match Replacement::of(*text, *code, *length, *known) {
                    Some(name) => {
                        bytes[0] = 0;
                        *self = Self::LongName(name);
                        (1, true)
                    }
                    None => {
                        *self = Self::string(*text, *length);
                        (1, false)
                    }
                }
            }
        }
    }

    /// Position after the first byte of an instruction.
    fn instruction(byte: u8) -> Self {
        let (prefix, name) = match byte {
            0x80.. => (0x7f, None),
            0x40..=0x7f => (0x3f, Some(StringRole::IndexedName)),
            0x20..=0x3f => (0x1f, None),
            _ => (0x0f, Some(StringRole::Name)),
        };
        let then = if name.is_some() { AfterInteger::Value } else { AfterInteger::Instruction };
        match (byte & prefix, name) {
            (0, Some(name)) => Self::Length(name),
            (index, _) if index == prefix => Self::Index { then },
            _ => then.state(),
        }
    }

    /// Position in a string with `left` remaining bytes.
    fn string(text: StringRole, left: u32) -> Self {
        match (left, text) {
            (0, StringRole::Value) => Self::Instruction,
            (0, StringRole::Name | StringRole::IndexedName) => Self::Length(StringRole::Value),
            _ => Self::String { text, left },
        }
    }
}

impl AfterInteger {
    fn state(self) -> BlockState {
        match self {
            Self::Instruction => BlockState::Instruction,
            Self::Value => BlockState::Length(StringRole::Value),
        }
    }
}

impl Replacement {
    /// Replacement for a string whose length was encoded in `known` bytes after the prefix, if it
    /// needs one.
    ///
    /// h2 may have read all of these bytes but the last. Setting the last one to 0 shortens the
    /// length. Lengths in other than three bytes exceed the limit of any request or are not
    /// minimal, and no front proxy sends them.
    fn of(text: StringRole, code: StringEncoding, length: u32, known: u32) -> Option<Self> {
        let (longest, letter) = match code {
            StringEncoding::Raw => (MAX_NAME, b'&'),
            // The code of `&` has eight bits, so the string needs no padding.
            StringEncoding::Huffman => (MAX_HUFFMAN_NAME, 0xf8),
        };
        let prefix = u32::from(LENGTH_PREFIX);
        (text == StringRole::Name && length > longest && known == 3).then(|| Self {
            letter,
            short: prefix + ((length - prefix) & 0x3fff),
            length,
            at: 0,
        })
    }

    fn next_byte(&mut self) -> u8 {
        let at = self.at;
        self.at += 1;
        let Some(at) = at.checked_sub(self.short) else { return self.letter };
        let rest = self.length - self.short;
        // The rest holds the empty value (1), the start of `content-length` (6) and of
        // `accept-charset` (2).
        let number = rest - 9 - u32::from(LENGTH_PREFIX);
        let group =
            |shift: u32| u8::try_from(number >> shift & 0x7f).expect("masked to seven bits");
        match at {
            0 => 0,
            // `content-length`, entry 28 of the static table: a prefix of four bits, then 13.
            1 => 0x0f,
            2 => 28 - 0x0f,
            3 => LENGTH_PREFIX,
            4 => group(0) | 0x80,
            5 => group(7) | 0x80,
            6 => group(14),
            // `accept-charset`, entry 15, with the value of the original field.
            _ if at == rest - 2 => 0x0f,
            _ if at == rest - 1 => 0,
            _ => b'x',
        }
    }
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).expect("a part of a frame is shorter than 4 GiB")
}

#[cfg(test)]
mod tests;
