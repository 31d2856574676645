//! JSON as objects: single ones, and lists of them as kubectl prints them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::{GROUP_VERSION, Image, ImageStream};
use crate::meta::Kind;
use crate::rest::codec;

/// An object that can be stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// An image.
    Image(Box<Image>),
    /// A stream.
    Stream(Box<ImageStream>),
}

/// Why a value is no object that can be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has no form of an object.
    #[error("this is no object: {0}")]
    Form(String),
    /// It is something else.
    #[error("{kind:?} of {version:?} is not stored here: only Image and ImageStream of {GROUP_VERSION} are")]
    Kind {
        /// Its kind.
        kind: String,
        /// Its apiVersion.
        version: String,
    },
    /// It is no sound object of its kind.
    #[error("{kind} {name:?} cannot be read: {why}")]
    Fields {
        /// Its kind.
        kind: &'static str,
        /// Its name, if that can be told.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// The parts that tell what a value is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Head<'a> {
    kind: String,
    api_version: String,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// The objects in a value, which is one or a list of some. Of a list of one kind, the objects need not say theirs.
///
/// # Errors
/// The value itself is no object. What is wrong with an object of a list stands in its place.
pub fn objects(value: &RawValue) -> Result<Vec<Result<Object, Unreadable>>, Unreadable> {
    let list = head(value)?;
    let Some(items) = list.items.as_ref().filter(|_| list.kind.ends_with("List")) else {
        return Ok(vec![object(value, &list)]);
    };
    let kind = list.kind.strip_suffix("List").unwrap_or_default();
    let item = |value: &&RawValue| {
        let mut own = head(value)?;
        if own.kind.is_empty() {
            own.kind = kind.to_owned();
        }
        if own.api_version.is_empty() {
            own.api_version.clone_from(&list.api_version);
        }
        object(value, &own)
    };
    Ok(items.iter().map(item).collect())
}

fn head(value: &RawValue) -> Result<Head<'_>, Unreadable> {
    serde_json::from_str(value.get()).map_err(|why| Unreadable::Form(why.to_string()))
}

fn object(value: &RawValue, head: &Head<'_>) -> Result<Object, Unreadable> {
    match (head.kind.as_str(), head.api_version.as_str()) {
        (Image::KIND, GROUP_VERSION) => fields(value).map(Object::Image),
        (ImageStream::KIND, GROUP_VERSION) => fields(value).map(Object::Stream),
        (kind, version) => Err(Unreadable::Kind { kind: kind.to_owned(), version: version.to_owned() }),
    }
}

fn fields<T: Kind>(value: &RawValue) -> Result<Box<T>, Unreadable> {
    let fields: serde_json::Value =
        serde_json::from_str(value.get()).map_err(|why| Unreadable::Form(why.to_string()))?;
    let name = fields["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let read = codec::from_value::<T>(fields).map_err(|why| Unreadable::Fields { kind: T::KIND, name, why });
    let mut object = Box::new(read?);
    object.default_fields();
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Result<Object, Unreadable>>, Unreadable> {
        objects(serde_json::from_str(text).unwrap())
    }

    fn told(text: &str) -> Vec<String> {
        let name = |object: Object| match object {
            Object::Image(image) => format!("image {}", image.metadata.name),
            Object::Stream(stream) => format!("stream {}", stream.metadata.name),
        };
        let told = |object: Result<Object, Unreadable>| object.map_or_else(|why| why.to_string(), name);
        read(text).unwrap().into_iter().map(told).collect()
    }

    const IMAGE: &str = r#"{"kind":"Image","apiVersion":"image.openshift.io/v1","metadata":{"name":"i"}}"#;

    #[test]
    fn an_object_is_told_by_kind_and_version() {
        assert_eq!(told(IMAGE), ["image i"]);
        assert_eq!(told(&IMAGE.replace("Image", "ImageStream")), ["stream i"]);
        let pod = told(r#"{"kind":"Pod","apiVersion":"v1"}"#);
        assert!(pod[0].starts_with(r#""Pod" of "v1" is not stored here"#), "{pod:?}");
        assert!(told("{}")[0].contains("is not stored here"));
        assert!(matches!(read("7"), Err(Unreadable::Form(_))));
    }

    #[test]
    fn a_list_as_kubectl_prints_it_is_read_object_by_object() {
        let bad = IMAGE.replace(r#""name":"i""#, r#""name":"j","labels":7"#);
        let list = format!(r#"{{"apiVersion":"v1","items":[{IMAGE},{bad}],"kind":"List","metadata":{{}}}}"#);
        let told = told(&list);
        assert_eq!(told[0], "image i");
        assert!(told[1].starts_with(r#"Image "j" cannot be read: "#), "{told:?}");
    }

    #[test]
    fn objects_of_a_list_of_one_kind_need_not_say_theirs() {
        let list =
            r#"{"kind":"ImageStreamList","apiVersion":"image.openshift.io/v1","items":[{"metadata":{"name":"s"}}]}"#;
        assert_eq!(told(list), ["stream s"]);
    }

    proptest::proptest! {
        #[test]
        fn no_value_panics(text in r#"\{("kind":"(Image|ImageStream|ImageList)",)?"(items|metadata|spec)":(\[\{\}\]|\{"name":[0-9]\}|null|7)\}"#) {
            let _ = read(&text).is_ok();
        }
    }
}
