//! Encoder for watch events: a `WatchEvent` message after its length in four bytes.

use super::encode::EncodeError;
use super::{envelope, wire};
use crate::meta::protobuf::MessageDescriptor;

/// Encodes a watch event of a type such as `ADDED` or `BOOKMARK`, from the JSON of its object with
/// `kind` and `apiVersion`.
///
/// # Errors
/// The JSON does not match the message.
pub fn watch_event(
    event: &str,
    message: &'static MessageDescriptor,
    json: &[u8],
) -> Result<Vec<u8>, EncodeError> {
    const LENGTH_BYTES: usize = 4;
    let object = envelope::encode_object(message, json)?;
    let mut out = vec![0; LENGTH_BYTES];
    wire::bytes(1, event.as_bytes(), &mut out);
    let start = out.len();
    wire::bytes(1, &object, &mut out);
    wire::enclose(2, start, &mut out);
    let length =
        u32::try_from(out.len() - LENGTH_BYTES).expect("an object is far smaller than 4 GiB");
    out[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}
