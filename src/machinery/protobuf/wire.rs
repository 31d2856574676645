//! The protobuf wire format: varints, tags and length-delimited fields.

/// Wire type of integers.
const VARINT: u32 = 0;
/// Wire type of values with eight bytes.
const FIXED64: u32 = 1;
/// Wire type of length-delimited values.
const BYTES: u32 = 2;
/// Wire type of the start of a group, a deprecated form of messages.
const START_GROUP: u32 = 3;
/// Wire type of the end of a group.
const END_GROUP: u32 = 4;
/// Wire type of values with four bytes.
const FIXED32: u32 = 5;

const MAX_VARINT_BYTES: usize = 10;

/// Appends a varint.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends an integer field.
pub(crate) fn number(field: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | VARINT), out);
    varint(value, out);
}

/// Appends tag and length of a length-delimited field.
pub(super) fn length(field: u32, length: usize, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | BYTES), out);
    varint(length as u64, out);
}

/// Appends a length-delimited field.
pub(crate) fn bytes(field: u32, content: &[u8], out: &mut Vec<u8>) {
    length(field, content.len(), out);
    out.extend_from_slice(content);
}

/// Inserts tag and length before the bytes from `start`.
pub(super) fn enclose(field: u32, start: usize, out: &mut Vec<u8>) {
    let end = out.len();
    length(field, end - start, out);
    let added = out.len() - end;
    out[start..].rotate_right(added);
}

/// Error of reading the wire format, with the texts of gogo/protobuf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The input ends inside a field.
    #[error("unexpected EOF")]
    UnexpectedEof,
    /// A varint has more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A length is negative as a signed number.
    #[error("proto: negative length found during unmarshaling")]
    NegativeLength,
    /// A group ends that did not start.
    #[error("proto: unexpected end of group")]
    UnexpectedEndGroup,
    /// An unknown wire type.
    #[error("proto: illegal wireType {0}")]
    WireType(u32),
    /// A field number of zero, or above the maximum.
    #[error("proto: illegal tag {0}")]
    Tag(u64),
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WireValue<'a> {
    /// An integer.
    Number(u64),
    /// A length-delimited value.
    Bytes(&'a [u8]),
    /// A value of another wire type, which is skipped.
    Other(u32),
}

/// A field with its encoded bytes.
pub(super) struct EncodedField<'a> {
    pub(super) number: u32,
    pub(super) value: WireValue<'a>,
    /// Tag and value.
    pub(super) encoded: &'a [u8],
}

impl WireValue<'_> {
    /// The number of the wire type.
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

    /// Returns the next field with its encoded bytes; none at the end of the message.
    pub(super) fn next_encoded(&mut self) -> Result<Option<EncodedField<'a>>, WireError> {
        let before = self.rest;
        let Some((number, value)) = self.next()? else { return Ok(None) };
        let encoded = &before[..before.len() - self.rest.len()];
        Ok(Some(EncodedField { number, value, encoded }))
    }

    /// Returns number and value of the next field; none at the end of the message.
    pub(super) fn next(&mut self) -> Result<Option<(u32, WireValue<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        Ok(Some((number, self.value(wire_type)?)))
    }

    fn tag(&mut self) -> Result<(u32, u32), WireError> {
        let tag = self.varint()?;
        let number =
            u32::try_from(tag >> 3).ok().filter(|number| *number != 0 && *number >> 29 == 0);
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

    /// Skips a group and the groups inside it.
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
        Err(if self.rest.len() < MAX_VARINT_BYTES {
            WireError::UnexpectedEof
        } else {
            WireError::Overflow
        })
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
    fn varints_and_bytes_survive_a_round_trip() {
        for value in [0, 1, 127, 128, 300, u64::MAX, -1_i64 as u64] {
            let mut out = Vec::new();
            number(15, value, &mut out);
            bytes(16, b"abc", &mut out);
            assert_eq!(
                read(&out),
                Ok(vec![(15, WireValue::Number(value)), (16, WireValue::Bytes(b"abc"))])
            );
        }
    }

    #[test]
    fn enclose_inserts_the_length_before_the_content() {
        let mut out = b"before".to_vec();
        out.extend([7; 300]);
        enclose(2, 6, &mut out);
        assert_eq!(out[..9], *b"before\x12\xac\x02");
        assert_eq!(out[9..], [7; 300]);
    }

    #[test]
    fn other_wire_types_are_skipped() {
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
    fn wire_errors_have_the_texts_of_go() {
        let cases: [(&[u8], &str); 9] = [
            (b"\x0a", "unexpected EOF"),
            (b"\x0a\x02a", "unexpected EOF"),
            (b"\x0b\x08\x01", "unexpected EOF"),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "unexpected EOF"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "proto: integer overflow"),
            (
                b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "proto: negative length found during unmarshaling",
            ),
            (b"\x0c", "proto: unexpected end of group"),
            (b"\x0e", "proto: illegal wireType 6"),
            (b"\x02\x00", "proto: illegal tag 0"),
        ];
        for (message, expected) in cases {
            assert_eq!(read(message).unwrap_err().to_string(), expected, "{message:?}");
        }
    }
}
