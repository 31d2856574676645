//! Encoding of store entries as lines.

use serde::Serialize;

use crate::api::{GROUP_VERSION, Image, ImageStream};
use crate::domain::unproved;
use crate::machinery::json;
use crate::meta::Kind;
use crate::resources::stored_entry::StoredEntry;
use crate::resources::strategies::{EVIDENCE, UNPROVED};
use crate::resources::superseded_images::SUPERSEDED_IMAGE;
use crate::store::{Entry, Key};

/// Encodes an entry as a line with its newline; none for derived rows and sources of
/// imported tags.
///
/// # Errors
/// A sentence for an entry that this version does not know.
pub fn encode_line(entry: &Entry) -> Result<Option<Vec<u8>>, String> {
    match StoredEntry::read(entry)? {
        // Always with the evidence: without the field, an import would vouch for the image.
        StoredEntry::Image(image) => {
            Ok(Some(of(Image::KIND, Some((EVIDENCE, &image.evidence)), &*image)))
        }
        StoredEntry::Superseded(image) => {
            Ok(Some(of(SUPERSEDED_IMAGE, Some((EVIDENCE, &image.evidence)), &*image)))
        }
        StoredEntry::Stream(stream) => {
            let unproved = unproved::stored(&stream);
            let field = (!unproved.is_empty()).then_some((UNPROVED, &unproved));
            Ok(Some(of(ImageStream::KIND, field, &*stream)))
        }
        // The next import makes sources again.
        StoredEntry::Derived | StoredEntry::Sources => Ok(None),
        StoredEntry::Unknown => Err(format!("this version does not know the key {}", entry.key)),
    }
}

/// Returns true for a key whose entry is an object. Derived rows are not exported.
pub fn is_exported(key: &Key) -> bool {
    !StoredEntry::is_derived(key)
}

fn of<M: Serialize, T: Kind>(kind: &str, field: Option<(&str, &M)>, object: &T) -> Vec<u8> {
    let mut head = b"{".to_vec();
    if let Some((name, field)) = field {
        head.extend_from_slice(format!(r#""{name}":"#).as_bytes());
        json::encode_into(field, &mut head);
        head.push(b',');
    }
    head.extend_from_slice(format!(r#""kind":"{kind}","apiVersion":"{GROUP_VERSION}""#).as_bytes());
    let mut line = Vec::with_capacity(1024);
    json::encode_behind(&head, object, &mut line);
    line.push(b'\n');
    line
}
