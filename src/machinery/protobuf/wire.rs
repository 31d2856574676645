//! The wire format of protobuf: numbers of variable length, tags, and fields that say how long they are.

/// A field whose value is a number.
const VARINT: u32 = 0;
/// A field of eight bytes.
const FIXED64: u32 = 1;
/// A field that says how long it is.
const BYTES: u32 = 2;
/// The beginning of a group, an older wire_type of a message.
const START_GROUP: u32 = 3;
/// The end of a group.
const END_GROUP: u32 = 4;
/// A field of four bytes.
const FIXED32: u32 = 5;

/// The most bytes of a number.
const MAX_VARINT_BYTES: usize = 10;

/// Appends a number.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a field that is a number.
pub(crate) fn number(field: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | VARINT), out);
    varint(value, out);
}

/// Appends the beginning of a field that says how long it is: tag and length.
pub(super) fn length(field: u32, length: usize, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | BYTES), out);
    varint(length as u64, out);
}

/// Appends a field that says how long it is.
pub(crate) fn bytes(field: u32, content: &[u8], out: &mut Vec<u8>) {
    length(field, content.len(), out);
    out.extend_from_slice(content);
}

/// Puts tag and length before what was written since `start`.
pub(super) fn enclose(field: u32, start: usize, out: &mut Vec<u8>) {
    let end = out.len();
    length(field, end - start, out);
    let added = out.len() - end;
    out[start..].rotate_right(added);
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// They end in the middle of a field.
    #[error("unexpected EOF")]
    UnexpectedEof,
    /// A number has more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A length that is negative as a number with a sign.
    #[error("proto: negative length found during unmarshaling")]
    NegativeLength,
    /// A group ends that has not begun.
    #[error("proto: unexpected end of group")]
    UnexpectedEndGroup,
    /// A wire_type of values that there is not.
    #[error("proto: illegal wireType {0}")]
    WireType(u32),
    /// Zero, or a number too large for a field.
    #[error("proto: illegal tag {0}")]
    Tag(u64),
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireValue<'a> {
    /// A number.
    Number(u64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A value in a wire_type that no field here has; already passed over.
    Other(u32),
}

impl WireValue<'_> {
    /// The number of its wire_type.
    pub(super) fn wire_type(self) -> u32 {
        match self {
            Self::Number(_) => VARINT,
            Self::Bytes(_) => BYTES,
            Self::Other(wire_type) => wire_type,
        }
    }
}

/// Reads a message field by field.
pub(super) struct WireReader<'a> {
    rest: &'a [u8],
}

impl<'a> WireReader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field; none at the end of the message.
    pub(super) fn next(&mut self) -> Result<Option<(u32, WireValue<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        Ok(Some((number, self.value(wire_type)?)))
    }

    fn tag(&mut self) -> Result<(u32, u32), WireError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number != 0 && *number >> 29 == 0);
        Ok((number.ok_or(WireError::Tag(tag >> 3))?, (tag & 7) as u32))
    }

    fn value(&mut self, wire_type: u32) -> Result<WireValue<'a>, WireError> {
        match wire_type {
            VARINT => self.varint().map(WireValue::Number),
            BYTES => self.length_delimited().map(WireValue::Bytes),
            FIXED64 => self.take(8).map(|_| WireValue::Other(wire_type)),
            FIXED32 => self.take(4).map(|_| WireValue::Other(wire_type)),
            START_GROUP => self.skip_group().map(|()| WireValue::Other(wire_type)),
            END_GROUP => Err(WireError::UnexpectedEndGroup),
            _ => Err(WireError::WireType(wire_type)),
        }
    }

    /// Passes over a group and the groups inside of it.
    fn skip_group(&mut self) -> Result<(), WireError> {
        let mut open = 1_usize;
        while open > 0 {
            match self.tag()?.1 {
                START_GROUP => open += 1,
                END_GROUP => open -= 1,
                wire_type => {
                    self.value(wire_type)?;
                }
            }
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for (at, byte) in self.rest.iter().enumerate().take(MAX_VARINT_BYTES) {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(number);
            }
        }
        Err(if self.rest.len() < MAX_VARINT_BYTES { WireError::UnexpectedEof } else { WireError::Overflow })
    }

    fn length_delimited(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.varint()?;
        if i64::try_from(length).is_err() {
            return Err(WireError::NegativeLength);
        }
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError::UnexpectedEof)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<(u32, WireValue<'_>)>, WireError> {
        let mut reader = WireReader::new(message);
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    #[test]
    fn numbers_and_bytes_come_back() {
        for value in [0, 1, 127, 128, 300, u64::MAX, -1_i64 as u64] {
            let mut out = Vec::new();
            number(15, value, &mut out);
            bytes(16, b"abc", &mut out);
            assert_eq!(read(&out), Ok(vec![(15, WireValue::Number(value)), (16, WireValue::Bytes(b"abc"))]));
        }
    }

    #[test]
    fn a_length_is_put_before_what_it_counts() {
        let mut out = b"before".to_vec();
        out.extend([7; 300]);
        enclose(2, 6, &mut out);
        assert_eq!(out[..9], *b"before\x12\xac\x02");
        assert_eq!(out[9..], [7; 300]);
    }

    #[test]
    fn values_of_other_forms_are_passed_over() {
        let message = b"\x09\0\0\0\0\0\0\0\0\x0d\0\0\0\0\x0b\x0b\x12\x01a\x0c\x08\x01\x0c\x08\x05";
        let expected = vec![
            (1, WireValue::Other(1)),
            (1, WireValue::Other(5)),
            (1, WireValue::Other(3)),
            (1, WireValue::Number(5)),
        ];
        assert_eq!(read(message), Ok(expected));
    }

    #[test]
    fn what_is_malformed_is_told_as_go_does() {
        let cases: [(&[u8], &str); 9] = [
            (b"\x0a", "unexpected EOF"),
            (b"\x0a\x02a", "unexpected EOF"),
            (b"\x0b\x08\x01", "unexpected EOF"),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "unexpected EOF"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "proto: integer overflow"),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "proto: negative length found during unmarshaling"),
            (b"\x0c", "proto: unexpected end of group"),
            (b"\x0e", "proto: illegal wireType 6"),
            (b"\x02\x00", "proto: illegal tag 0"),
        ];
        for (message, expected) in cases {
            assert_eq!(read(message).unwrap_err().to_string(), expected, "{message:?}");
        }
    }
}
