//! How a list is written in each media type, piece by piece: what stands before the objects, each of them, and the end.

use serde_json::Value;

use super::envelope::ListEnvelope;
use crate::endpoints::negotiation::Media;
use crate::machinery::json::Indenter;
use crate::machinery::protobuf;
use crate::machinery::yaml;
use crate::meta::Status;
use crate::meta::protobuf::MessageDescriptor;

/// A way of writing.
pub(super) enum ListEncoder {
    /// Compact JSON.
    Compact,
    /// JSON for people, and where in it the objects are.
    Pretty(Indenter),
    /// YAML. Its keys are sorted, so that some stand behind the objects.
    Yaml,
    /// Protobuf, with the message of the objects. Before them its envelope says how long all of it is.
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

    /// Whether how many bytes the objects take must be known before the first of them is sent.
    pub(super) fn begins_with_length(&self) -> bool {
        matches!(self, Self::Protobuf(_))
    }

    /// Makes ready to write objects, possibly before it is known what stands before them: their indentation does not depend
    /// on it.
    pub(super) fn prepare(&mut self, envelope: &ListEnvelope) {
        if let Self::Pretty(indenter) = self {
            indenter.push(&envelope.head, &mut Vec::new());
        }
    }

    /// Appends what comes first of all, however many bytes the objects take.
    pub(super) fn open(&self, envelope: &ListEnvelope, out: &mut Vec<u8>) -> Result<(), Status> {
        match self {
            Self::Compact | Self::Pretty(_) | Self::Yaml => Ok(()),
            Self::Protobuf(_) => protobuf::list_opening(&envelope.empty_list(), out).map_err(Status::hidden),
        }
    }

    /// Appends what stands between that and the objects, which take so many bytes.
    pub(super) fn begin(&self, envelope: &ListEnvelope, length: usize, out: &mut Vec<u8>) -> Result<(), Status> {
        match self {
            Self::Compact => out.extend_from_slice(&envelope.head),
            Self::Pretty(_) => Indenter::default().push(&envelope.head, out),
            Self::Yaml => out.extend_from_slice(sides(envelope)?.0.as_bytes()),
            Self::Protobuf(_) => protobuf::list_head(&envelope.empty_list(), length, out).map_err(Status::hidden)?,
        }
        Ok(())
    }

    /// Appends an object, which is compact JSON, behind the mark that stands before it in JSON.
    pub(super) fn object(&mut self, mark: u8, compact: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        match self {
            Self::Compact => {
                out.push(mark);
                out.extend_from_slice(compact);
            }
            Self::Pretty(indenter) => {
                indenter.push(&[mark], out);
                indenter.push(compact, out);
            }
            Self::Yaml => {
                if mark == b'[' {
                    out.push(b'\n');
                }
                let object: Value = serde_json::from_slice(compact).map_err(Status::hidden)?;
                out.extend_from_slice(to_yaml(&Value::Array(vec![object]))?.as_bytes());
            }
            Self::Protobuf(message) => protobuf::list_item(message, compact, out).map_err(Status::hidden)?,
        }
        Ok(())
    }

    /// Appends what stands behind the objects, of which there were some or none.
    pub(super) fn end(&mut self, envelope: &ListEnvelope, has_objects: bool, out: &mut Vec<u8>) -> Result<(), Status> {
        let closing = if has_objects { "]" } else { envelope.empty };
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
                if !has_objects {
                    out.extend_from_slice(format!(" {closing}\n").as_bytes());
                }
                out.extend_from_slice(sides(envelope)?.1.as_bytes());
            }
            Self::Protobuf(_) => out.extend_from_slice(&protobuf::ENVELOPE_TAIL),
        }
        Ok(())
    }
}

/// The YAML before the objects, up to the colon behind their name, and behind them.
fn sides(envelope: &ListEnvelope) -> Result<(String, String), Status> {
    let yaml = to_yaml(&serde_json::from_slice(&envelope.empty_list()).map_err(Status::hidden)?)?;
    // Only a key of the list itself can stand at the beginning of a line.
    let line = format!("\n{}:", envelope.name);
    let place = yaml.find(&line).ok_or_else(|| Status::hidden("a list does not name its objects"))?;
    let (before, behind) = yaml.split_at(place + line.len());
    Ok((before.to_owned(), behind.trim_start_matches(" []\n").to_owned()))
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

    /// A list as it is written piece by piece.
    fn written(media: Media, head: &Value, name: &'static str, objects: &[Value]) -> String {
        let head = head.to_string();
        let head = format!("{},\"{name}\":", head.strip_suffix('}').unwrap());
        let envelope = ListEnvelope { head: head.into_bytes(), name, empty: "[]" };
        let mut encoder = ListEncoder::new(media, &LIST_META);
        encoder.prepare(&envelope);
        let mut out = Vec::new();
        encoder.open(&envelope, &mut out).unwrap();
        encoder.begin(&envelope, 0, &mut out).unwrap();
        for (number, object) in objects.iter().enumerate() {
            encoder.object(if number == 0 { b'[' } else { b',' }, object.to_string().as_bytes(), &mut out).unwrap();
        }
        encoder.end(&envelope, !objects.is_empty(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn whole(head: &Value, name: &str, objects: &[Value]) -> Value {
        let mut whole = head.clone();
        whole[name] = objects.into();
        whole
    }

    proptest! {
        #[test]
        fn pieces_are_together_what_the_whole_is(
            text in ".*", keys in proptest::collection::vec("[a-z]{1,9}", 0..3), objects in 0_usize..4, rows: bool,
        ) {
            let name = if rows { "rows" } else { "items" };
            let head = json!({"kind": text, "apiVersion": "v1", "metadata": {"continue": text}, "columnDefinitions": [text]});
            let object = json!({"metadata": {"name": text, "labels": keys}, "items": [{"rows": []}], "rows": keys});
            let objects = vec![object; objects];
            let whole = whole(&head, name, &objects);
            let compact = whole.to_string();
            prop_assert_eq!(written(Media::Json { pretty: false }, &head, name, &objects), compact.clone() + "\n");
            let pretty = String::from_utf8(indent(compact.as_bytes())).unwrap();
            prop_assert_eq!(written(Media::Json { pretty: true }, &head, name, &objects), pretty);
            if let Ok(yaml) = yaml::encode(&whole) {
                prop_assert_eq!(written(Media::Yaml, &head, name, &objects), yaml);
            }
        }
    }
}
