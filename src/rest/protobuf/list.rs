//! Lists, whole or piece by piece. A list is metadata (1) and items (2); its head says how long all of them are.

use super::encode::{self, Unwritable};
use super::envelope::{TAIL, TypeMeta, head};
use super::wire;
use crate::meta::protobuf::{LIST_META, Message, PARTIAL_OBJECT_METADATA};
use crate::meta::{Kind, ListMeta};
use crate::rest::codec::GroupVersion;
use crate::rest::negotiate::{Form, Representation};
use crate::rest::reply::Listed;
use crate::rest::{json, table};

/// A whole list: of objects, or of the metadata alone of each.
///
/// # Errors
/// The message of the kind is not what its objects are.
pub fn whole_list<T: Kind>(how: Representation, api: GroupVersion, list: &Listed<T>) -> Result<Vec<u8>, Unwritable> {
    let is_partial = how.form != Form::Object;
    let message = if is_partial { &PARTIAL_OBJECT_METADATA } else { T::MESSAGE };
    let (mut content, mut compact) = (Vec::new(), Vec::new());
    list_metadata(&list.metadata, &mut content)?;
    for each in &list.items {
        compact.clear();
        match is_partial {
            true => table::partial(each, how.meta_version, &mut compact),
            false => json::encode_into(each, &mut compact),
        }
        item(message, &compact, &mut content)?;
    }
    let (kind, api_version) = match is_partial {
        true => ("PartialObjectMetadataList".to_owned(), format!("meta.k8s.io/{}", how.meta_version)),
        false => (format!("{}List", T::KIND), api.name.to_owned()),
    };
    let mut out = head(TypeMeta { api_version: &api_version, kind: &kind }, content.len());
    out.append(&mut content);
    out.extend_from_slice(&TAIL);
    Ok(out)
}

/// Appends the metadata of a list, which come first.
///
/// # Errors
/// None that happen.
pub fn list_metadata(metadata: &ListMeta, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let start = out.len();
    encode::content(&LIST_META, &json::encode(metadata), out)?;
    wire::enclose(1, start, out);
    Ok(())
}

/// Appends an item, from its JSON. Where that says kind and version, they are left out: items do not say them.
///
/// # Errors
/// The JSON is not what the message says.
pub fn item(message: &'static Message, json: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let start = out.len();
    encode::content(message, json, out)?;
    wire::enclose(2, start, out);
    Ok(())
}
