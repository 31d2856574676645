//! Entries of a store as lines.

use crate::api::GROUP_VERSION;
use crate::meta::Kind;
use crate::resources::rows::Row;
use crate::rest::json;
use crate::store::Entry;

/// The line of an entry with its end; none for what is made of other entries.
///
/// # Errors
/// A sentence: what is stored is none of the objects that this version knows.
pub fn line(entry: &Entry) -> Result<Option<Vec<u8>>, String> {
    match Row::read(entry)? {
        Row::Image(image) => Ok(Some(of(&*image))),
        Row::Stream(stream) => Ok(Some(of(&*stream))),
        Row::Beside | Row::Superseded => Ok(None),
        Row::Unknown => Err(format!("this version knows nothing like {}", entry.key)),
    }
}

fn of<T: Kind>(object: &T) -> Vec<u8> {
    let head = format!(r#"{{"kind":"{}","apiVersion":"{GROUP_VERSION}""#, T::KIND);
    let mut line = Vec::with_capacity(1024);
    json::encode_behind(head.as_bytes(), object, &mut line);
    line.push(b'\n');
    line
}
