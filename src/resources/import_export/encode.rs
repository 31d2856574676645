//! Encoding of store entries as lines.

use serde::Serialize;

use super::decode::StoredObject;
use crate::api::{GROUP_VERSION, Image, ImageStream};
use crate::domain::unproved;
use crate::machinery::json;
use crate::meta::Kind;
use crate::resources::openshift_layout::StoredForm;
use crate::resources::stored_entry::StoredEntry;
use crate::resources::strategies::{EVIDENCE, UNPROVED};
use crate::resources::superseded_images::SUPERSEDED_IMAGE;
use crate::store::{Entry, Key};

/// The object of an entry in a store with objects of this form, without its resourceVersion; none
/// for derived rows and sources of imported tags.
///
/// # Errors
/// A sentence for an entry that this version does not know.
pub fn read_object(entry: &Entry, stored_form: StoredForm) -> Result<Option<StoredObject>, String> {
    Ok(match StoredEntry::read(entry, stored_form)? {
        StoredEntry::Image(image) => Some(StoredObject::Image(image)),
        StoredEntry::Superseded(image) => Some(StoredObject::Superseded(image)),
        StoredEntry::Stream(stream) => Some(StoredObject::Stream(stream)),
        // The next import makes sources again.
        StoredEntry::Derived | StoredEntry::Sources => None,
        StoredEntry::Unknown => {
            return Err(format!("this version does not know the key {}", entry.key));
        }
    })
}

/// Encodes an object as a line with its newline.
pub fn encode_object(object: &StoredObject) -> Vec<u8> {
    match object {
        // Always with the evidence: without the field, an import would vouch for the image.
        StoredObject::Image(image) => of(Image::KIND, Some((EVIDENCE, &image.evidence)), &**image),
        StoredObject::Superseded(image) => {
            of(SUPERSEDED_IMAGE, Some((EVIDENCE, &image.evidence)), &**image)
        }
        StoredObject::Stream(stream) => {
            let unproved = unproved::stored(stream);
            let field = (!unproved.is_empty()).then_some((UNPROVED, &unproved));
            of(ImageStream::KIND, field, &**stream)
        }
    }
}

/// Encodes the part of an object that is in the API, with kind and apiVersion.
pub fn encode_for_api(object: &StoredObject) -> Vec<u8> {
    const NO_FIELD: Option<(&str, &())> = None;
    match object {
        StoredObject::Image(image) => of(Image::KIND, NO_FIELD, &**image),
        StoredObject::Superseded(image) => of(SUPERSEDED_IMAGE, NO_FIELD, &**image),
        StoredObject::Stream(stream) => of(ImageStream::KIND, NO_FIELD, &**stream),
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
