//! Header names that are too long for the library `http`, which ends the whole connection when h2 meets one. Go's server and
//! `ReverseProxy` forward them, so that one request would end all others that share a connection of a front proxy.
//!
//! The scanner follows the instructions of a header block (RFC 7541, section 6) by their integers and lengths. It neither
//! decodes strings nor keeps a table. It overwrites a name that is too long, in place, with fields that h2 can decode and for
//! which it resets only the stream:
//!
//! ```text
//! &&&&...&:                 a name of up to 16,510 bytes, with an empty value
//! content-length: xxx...x   the rest of the name
//! accept-charset: ...       the value, unchanged
//! ```
//!
//! h2 decodes a header block frame by frame, and forgets a fault of a field when further frames follow. That is why the
//! replacement is well-formed: h2 parses `content-length` once the block is complete.
//!
//! Names in literals with incremental indexing are left alone: a replacement would change the dynamic table. Go's encoder
//! (`shouldIndex` in golang.org/x/net/http2/hpack) does not index a field that is larger than the table.

use super::frames::{CONTINUATION, END_HEADERS, FrameHead, HEADERS, PADDED, PRIORITY};

/// The longest name that the library `http` accepts, in bytes.
const LONGEST: u32 = 65_535;
/// The longest Huffman code that cannot hold a longer name, in bytes: the shortest codes have five bits.
const LONGEST_CODE: u32 = (LONGEST + 1) / 8 * 5 - 1;
/// The bytes of an integer after its prefix that h2 reads at most.
const INTEGER: u32 = 4;
/// The value of a string length whose prefix has all bits set.
const LENGTH_PREFIX: u8 = 0x7f;
/// The bytes of the stream dependency and weight of a HEADERS frame.
const PRIORITY_BYTES: u32 = 5;

/// A scanner for the header blocks of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct LongNames {
    /// The part of a frame that is in transit, if its block is scanned.
    part: Part,
    /// The bytes of the frame that follow, without the padding once its length is known.
    left: u32,
    /// The position in the header block.
    state: State,
    /// True if the block continues in further frames and is scanned.
    is_open: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// A payload that is not scanned.
    #[default]
    Other,
    /// The length of the padding. The priority follows, in so many bytes.
    PadLength { priority: u32 },
    /// So many bytes of the priority.
    Priority(u32),
    /// A fragment of a header block.
    Fragment,
}

/// A position in a header block.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before an instruction.
    #[default]
    Instruction,
    /// In the index or size of an instruction.
    Index { then: Next },
    /// Before the length of a string.
    Length(Text),
    /// In the length of a string.
    LongLength { text: Text, code: Code, length: u32, known: u32 },
    /// In a string.
    String { text: Text, left: u32 },
    /// In a name that is too long.
    LongName(Replacement),
    /// Behind an integer that h2 refuses.
    Invalid,
}

/// The element after an integer.
#[derive(Clone, Copy, Debug)]
enum Next {
    Instruction,
    Value,
}

/// The role of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    /// A name in a literal that is not indexed.
    Name,
    /// A name that goes into the dynamic table.
    IndexedName,
    Value,
}

/// The encoding of a string.
#[derive(Clone, Copy, Debug)]
enum Code {
    Raw,
    Huffman,
}

/// The bytes that take the place of a name.
#[derive(Clone, Copy, Debug)]
struct Replacement {
    /// The byte that the shorter name repeats.
    letter: u8,
    /// The bytes of the shorter name.
    short: u32,
    /// The bytes of the whole name.
    length: u32,
    /// The next byte.
    at: u32,
}

impl LongNames {
    /// Takes note of the header of the next frame.
    pub(super) fn begin(&mut self, head: FrameHead) {
        self.part = Part::Other;
        match head.kind {
            // No shorter block can hold such a name.
            HEADERS if head.has(END_HEADERS) && head.length <= LONGEST_CODE => self.is_open = false,
            HEADERS => {
                self.state = State::Instruction;
                let priority = if head.has(PRIORITY) { PRIORITY_BYTES } else { 0 };
                self.part = if head.has(PADDED) { Part::PadLength { priority } } else { Part::Priority(priority) };
                self.is_open = !head.has(END_HEADERS);
            }
            CONTINUATION if self.is_open => {
                self.part = Part::Fragment;
                self.is_open = !head.has(END_HEADERS);
            }
            _ => self.is_open = false,
        }
        self.left = head.length;
    }

    /// Takes note of a part of the payload, and overwrites in it names that are too long. Returns the number of names whose
    /// beginning was found.
    pub(super) fn pass(&mut self, mut bytes: &mut [u8]) -> usize {
        let mut found = 0;
        while !bytes.is_empty() {
            let count = match self.part {
                Part::Other => return found,
                Part::PadLength { priority } => {
                    self.left = self.left.saturating_sub(u32::from(bytes[0]));
                    self.part = Part::Priority(priority);
                    1
                }
                Part::Priority(0) => {
                    self.part = Part::Fragment;
                    continue;
                }
                Part::Priority(left) => {
                    self.part = Part::Priority(left - 1);
                    1
                }
                Part::Fragment if self.left == 0 => return found,
                Part::Fragment => {
                    let most = bytes.len().min(to_usize(self.left));
                    let (count, is_found) = self.state.advance(&mut bytes[..most]);
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

impl State {
    /// Moves past bytes of a block, of which there is one at least. Returns how many, and whether they tell that a name that
    /// is too long follows.
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
                    *self = Self::Length(Text::Value);
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
                let code = if bytes[0] & 0x80 == 0 { Code::Raw } else { Code::Huffman };
                *self = match prefix {
                    LENGTH_PREFIX => Self::LongLength { text, code, length: LENGTH_PREFIX.into(), known: 0 },
                    length => Self::string(text, length.into()),
                };
                (1, false)
            }
            Self::LongLength { text, code, length, known } => {
                *length += u32::from(bytes[0] & 0x7f) << (7 * *known);
                *known += 1;
                if bytes[0] & 0x80 != 0 {
                    if *known == INTEGER {
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

    /// The position behind the first byte of an instruction.
    fn instruction(byte: u8) -> Self {
        let (prefix, name) = match byte {
            0x80.. => (0x7f, None),
            0x40..=0x7f => (0x3f, Some(Text::IndexedName)),
            0x20..=0x3f => (0x1f, None),
            _ => (0x0f, Some(Text::Name)),
        };
        let then = if name.is_some() { Next::Value } else { Next::Instruction };
        match (byte & prefix, name) {
            (0, Some(name)) => Self::Length(name),
            (index, _) if index == prefix => Self::Index { then },
            _ => then.state(),
        }
    }

    /// The position in a string of which so many bytes follow.
    fn string(text: Text, left: u32) -> Self {
        match (left, text) {
            (0, Text::Value) => Self::Instruction,
            (0, Text::Name | Text::IndexedName) => Self::Length(Text::Value),
            _ => Self::String { text, left },
        }
    }
}

impl Next {
    fn state(self) -> State {
        match self {
            Self::Instruction => State::Instruction,
            Self::Value => State::Length(Text::Value),
        }
    }
}

impl Replacement {
    /// The replacement for a string whose length was read from so many bytes behind the prefix, if it needs one.
    ///
    /// All but the last of these bytes may have been handed to h2. Changed to 0, the last one makes the length a short one.
    /// Lengths in other than three bytes are beyond the limit of any request, or not as short as they can be. No front proxy
    /// sends those.
    fn of(text: Text, code: Code, length: u32, known: u32) -> Option<Self> {
        let (longest, letter) = match code {
            Code::Raw => (LONGEST, b'&'),
            // The code of `&`, which has eight bits: any number of them needs no padding.
            Code::Huffman => (LONGEST_CODE, 0xf8),
        };
        let prefix = u32::from(LENGTH_PREFIX);
        (text == Text::Name && length > longest && known == 3).then(|| Self {
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
        // The empty value, the start of `content-length`, and that of `accept-charset`.
        let number = rest - 9 - u32::from(LENGTH_PREFIX);
        let group = |shift: u32| u8::try_from(number >> shift & 0x7f).expect("it has seven bits");
        match at {
            0 => 0,
            // `content-length`, entry 28 of the static table: a prefix of four bits, and 13.
            1 => 0x0f,
            2 => 28 - 0x0f,
            3 => LENGTH_PREFIX,
            4 => group(0) | 0x80,
            5 => group(7) | 0x80,
            6 => group(14),
            // `accept-charset`, entry 15: its value is the one of the name.
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
