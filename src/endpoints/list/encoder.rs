//! Encodings of a list in each media type, item by item.

use serde_json::Value;

use super::envelope::ListEnvelope;
use crate::endpoints::negotiation::Media;
use crate::machinery::json::Indenter;
use crate::machinery::protobuf;
use crate::machinery::yaml;
use crate::meta::Status;
use crate::meta::protobuf::MessageDescriptor;

/// An encoder for a list whose items arrive one by one.
pub(super) enum ListEncoder {
    /// Compact JSON.
    Compact,
    /// Indented JSON, with the state of the indentation.
    Pretty(Indenter),
    /// YAML. Its keys are sorted, so some of them follow the items.
    Yaml,
    /// Protobuf, with the message of the items. The length of all items precedes them.
    Protobuf(&'static MessageDescriptor),
}

impl ListEncoder {
    pub(super) fn new(media: Media, message: &'static MessageDescriptor) -> Self {
        match media {
            Media::Json { pretty: false } => Self::Compact,
            Media::Json { pretty: true } => Self::Pretty(Indenter::default()),
            Media::Yaml => Self::Yaml,
            Media::Protobuf => Self::Protobuf(message),
        }
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self {
            Self::Compact | Self::Pretty(_) => Media::Json { pretty: false }.content_type(),
            Self::Yaml => Media::Yaml.content_type(),
            Self::Protobuf(_) => Media::Protobuf.content_type(),
        }
    }

    /// Returns true if the size of all items precedes the first item.
    pub(super) fn needs_length(&self) -> bool {
        matches!(self, Self::Protobuf(_))
    }

    /// Sets the indentation of the items, which does not depend on the values in the envelope.
    pub(super) fn prepare(&mut self, envelope: &ListEnvelope) {
        if let Self::Pretty(indenter) = self {
            indenter.push(&envelope.head, &mut Vec::new());
        }
    }

    /// Appends the beginning, which does not depend on metadata and items.
    pub(super) fn open(&self, envelope: &ListEnvelope, out: &mut Vec<u8>) -> Result<(), Status> {
        match self {
            Self::Compact | Self::Pretty(_) | Self::Yaml => Ok(()),
            Self::Protobuf(_) => {
                protobuf::list_opening(&envelope.empty_list(), out).map_err(Status::hidden)
            }
        }
    }

    /// Appends the part between the beginning and the items. `length` is the size of all encoded
    /// items.
    pub(super) fn begin(
        &self,
        envelope: &ListEnvelope,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        match self {
            Self::Compact => out.extend_from_slice(&envelope.head),
            Self::Pretty(_) => Indenter::default().push(&envelope.head, out),
            Self::Yaml => out.extend_from_slice(split_yaml(envelope)?.0.as_bytes()),
            Self::Protobuf(_) => {
                protobuf::list_head(&envelope.empty_list(), length, out).map_err(Status::hidden)?
            }
        }
        Ok(())
    }

    /// Appends an item, given as compact JSON. `delimiter` is `[` for the first item, else `,`.
    pub(super) fn item(
        &mut self,
        delimiter: u8,
        compact: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        match self {
            Self::Compact => {
                out.push(delimiter);
                out.extend_from_slice(compact);
            }
            Self::Pretty(indenter) => {
                indenter.push(&[delimiter], out);
                indenter.push(compact, out);
            }
            Self::Yaml => {
                if delimiter == b'[' {
                    out.push(b'\n');
                }
                let item: Value = serde_json::from_slice(compact).map_err(Status::hidden)?;
                out.extend_from_slice(to_yaml(&Value::Array(vec![item]))?.as_bytes());
            }
            Self::Protobuf(message) => {
                protobuf::list_item(message, compact, out).map_err(Status::hidden)?
            }
        }
        Ok(())
    }

    /// Appends the part after the items.
    pub(super) fn end(
        &mut self,
        envelope: &ListEnvelope,
        has_items: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        let closing = if has_items { "]" } else { envelope.empty };
        match self {
            Self::Compact => {
                out.extend_from_slice(closing.as_bytes());
                out.extend_from_slice(b"}\n");
            }
            Self::Pretty(indenter) => {
                indenter.push(closing.as_bytes(), out);
                indenter.push(b"}", out);
            }
            Self::Yaml => {
                if !has_items {
                    out.extend_from_slice(format!(" {closing}\n").as_bytes());
                }
                out.extend_from_slice(split_yaml(envelope)?.1.as_bytes());
            }
            Self::Protobuf(_) => out.extend_from_slice(&protobuf::ENVELOPE_TAIL),
        }
        Ok(())
    }
}

/// The YAML before the items, up to the colon after their key, and after them.
fn split_yaml(envelope: &ListEnvelope) -> Result<(String, String), Status> {
    let yaml = to_yaml(&serde_json::from_slice(&envelope.empty_list()).map_err(Status::hidden)?)?;
    // Only a key of the list itself can be at the start of a line.
    let line = format!("\n{}:", envelope.key);
    let position = yaml
        .find(&line)
        .ok_or_else(|| Status::hidden("the YAML of a list lacks the key of its items"))?;
    let (before, after) = yaml.split_at(position + line.len());
    Ok((before.to_owned(), after.trim_start_matches(" []\n").to_owned()))
}

fn to_yaml(value: &Value) -> Result<String, Status> {
    yaml::encode(value).map_err(|why| Status::internal(why.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::machinery::json::indent;
    use crate::meta::protobuf::LIST_META;

    /// A list that is encoded item by item.
    fn encode(media: Media, head: &Value, key: &'static str, items: &[Value]) -> String {
        let head = head.to_string();
        let head = format!("{},\"{key}\":", head.strip_suffix('}').unwrap());
        let envelope = ListEnvelope { head: head.into_bytes(), key, empty: "[]" };
        let mut encoder = ListEncoder::new(media, &LIST_META);
        encoder.prepare(&envelope);
        let mut out = Vec::new();
        encoder.open(&envelope, &mut out).unwrap();
        encoder.begin(&envelope, 0, &mut out).unwrap();
        for (number, item) in items.iter().enumerate() {
            let delimiter = if number == 0 { b'[' } else { b',' };
            encoder.item(delimiter, item.to_string().as_bytes(), &mut out).unwrap();
        }
        encoder.end(&envelope, !items.is_empty(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn complete_list(head: &Value, key: &str, items: &[Value]) -> Value {
        let mut list = head.clone();
        list[key] = items.into();
        list
    }

    proptest! {
        #[test]
        fn encoding_by_item_equals_encoding_the_whole_list(
            text in ".*", keys in proptest::collection::vec("[a-z]{1,9}", 0..3), items in 0_usize..4, is_table: bool,
        ) {
            let key = if is_table { "rows" } else { "items" };
            let head = json!({"kind": text, "apiVersion": "v1", "metadata": {"continue": text}, "columnDefinitions": [text]});
            let item = json!({"metadata": {"name": text, "labels": keys}, "items": [{"rows": []}], "rows": keys});
            let items = vec![item; items];
            let list = complete_list(&head, key, &items);
            let compact = list.to_string();
            prop_assert_eq!(encode(Media::Json { pretty: false }, &head, key, &items), compact.clone() + "\n");
            let pretty = String::from_utf8(indent(compact.as_bytes())).unwrap();
            prop_assert_eq!(encode(Media::Json { pretty: true }, &head, key, &items), pretty);
            if let Ok(yaml) = yaml::encode(&list) {
                prop_assert_eq!(encode(Media::Yaml, &head, key, &items), yaml);
            }
        }
    }
}
