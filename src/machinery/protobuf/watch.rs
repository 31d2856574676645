//! Events of a watch: each a message `WatchEvent` behind its length in four bytes.

use super::encode::Unwritable;
use super::{envelope, wire};
use crate::meta::protobuf::MessageDescriptor;

/// An event of this type (`ADDED`, `BOOKMARK` and so on) about an object, from its JSON, which says its kind and version.
///
/// # Errors
/// The JSON is not what the message says.
pub fn frame(event: &str, message: &'static MessageDescriptor, json: &[u8]) -> Result<Vec<u8>, Unwritable> {
    const LENGTH: usize = 4;
    let object = envelope::object(message, json)?;
    let mut out = vec![0; LENGTH];
    wire::bytes(1, event.as_bytes(), &mut out);
    let start = out.len();
    wire::bytes(1, &object, &mut out);
    wire::enclose(2, start, &mut out);
    let length = u32::try_from(out.len() - LENGTH).expect("an object is far smaller than 4 GiB");
    out[..LENGTH].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}
