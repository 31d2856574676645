//! Hexadecimal digits in lower case, as digests have them.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The two digits of each byte.
const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Writes the digits of `bytes` to `out`, which is twice as long. Superfluous bytes are left out.
pub fn encode_into(bytes: &[u8], out: &mut [u8]) {
    let (pairs, _) = out.as_chunks_mut();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

/// The digits of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| PAIRS[usize::from(*byte)]).map(char::from).collect()
}

/// The bytes that 64 digits in lower case stand for, as in a SHA-256 digest.
pub fn decode_sha256(digits: &[u8; 64]) -> Option<[u8; 32]> {
    let (pairs, _) = digits.as_chunks::<2>();
    let mut bytes = [0; 32];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_digits_are_decoded() {
        let digits: [u8; 64] = "0123456789abcdef".repeat(4).into_bytes().try_into().unwrap();
        let bytes = decode_sha256(&digits).unwrap();
        assert_eq!(bytes[..3], [0x01, 0x23, 0x45]);
        let mut out = [0; 64];
        encode_into(&bytes, &mut out);
        assert_eq!((out, encode(&bytes).as_bytes()), (digits, &digits[..]));
        for other in [b'A', b'g', b'/', b':', b'`', b' '] {
            let mut digits = digits;
            digits[63] = other;
            assert_eq!(decode_sha256(&digits), None, "{}", char::from(other));
        }
    }
}
