//! What a decoder makes of a document, and the comparison of two decoders.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imagestream_apiserver::api::{Image, ImageStream};
use imagestream_apiserver::domain::image_config;
use imagestream_apiserver::endpoints::context::{RequestContext, Transport};
use imagestream_apiserver::endpoints::decode;
use imagestream_apiserver::endpoints::negotiation::{Media, ObjectForm, Representation};
use imagestream_apiserver::machinery::field_validation::FieldValidation;
use imagestream_apiserver::machinery::patch::Patch;
use imagestream_apiserver::machinery::query::Query;
use imagestream_apiserver::machinery::schema::Schema;
use imagestream_apiserver::meta::{Kind, Time};
use imagestream_apiserver::registry::actor::Actor;
use imagestream_apiserver::registry::object_ref::ObjectRef;
use imagestream_apiserver::resources::API;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::tools::peers;

/// A decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Decoder {
    Json,
    Yaml,
    Apply,
    Strategic,
    Config,
    Time,
}

/// A document and the decoder for it.
pub(super) struct Document {
    pub(super) decoder: Decoder,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
    /// The constructs of the grammar that the document has.
    pub(super) constructs: BTreeSet<&'static str>,
}

/// The result of a decoder.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    Accepted { value: Value, warnings: Vec<String> },
    Refused(String),
}

/// Errors may have other texts.
impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refused(_), Self::Refused(_)) => true,
            (
                Self::Accepted { value, warnings },
                Self::Accepted { value: other, warnings: others },
            ) => value == other && warnings == others,
            _ => false,
        }
    }
}

impl Document {
    /// The name of a difference that is deliberate.
    pub(super) fn listed_difference(&self, own: &Reading, by_go: &Reading) -> Option<&'static str> {
        let has = |part: &[u8]| self.body.windows(part.len()).any(|found| found == part);
        let repeats_key = self.constructs.contains("key given twice");
        match (own, by_go) {
            (Reading::Refused(own), Reading::Accepted { .. }) => match own {
                _ if own.contains("nested deeper than") => {
                    Some("listed: nested deeper than the limit")
                }
                _ if own.contains("cannot convert float64 to int64") => {
                    Some("listed: number over 64 bits, which Go turns into another")
                }
                // Go does not see a byte that is not UTF-8 behind the first document.
                _ if own.contains("invalid UTF-8") => Some("listed: UTF-8 of the whole body"),
                // Go would refuse it as well, unless another value replaces it.
                _ if own.contains("unsupported") => {
                    Some("listed: value without JSON that a repeated key replaces")
                }
                _ => None,
            },
            (Reading::Accepted { .. }, Reading::Refused(go)) => match go {
                _ if go.contains("unknown escape character") && has(b"\\/") => {
                    Some("listed: escaped slash in YAML")
                }
                _ if go.contains("did not find expected ',' or") && has(b"?") => {
                    Some("listed: question mark in a plain text of flow style")
                }
                _ if self.decoder == Decoder::Strategic && go.contains("1e999 into Go") => {
                    Some("listed: number out of range in a patch")
                }
                _ if repeats_key && (go.contains("unmarshal") || go.contains("parsing time")) => {
                    Some("listed: value of a wrong type that a repeated key replaces")
                }
                _ => None,
            },
            (Reading::Accepted { .. }, Reading::Accepted { .. }) => {
                let is_rounded = self.decoder == Decoder::Apply && has(b"9223372036854775807");
                let keeps_null =
                    repeats_key && self.kind == "Image" && self.constructs.contains("null");
                if is_rounded {
                    Some("listed: integer over 53 bits, which Go rounds in an apply configuration")
                } else if keeps_null {
                    Some("listed: null at a repeated key of the metadata of an image")
                } else {
                    None
                }
            }
            (Reading::Refused(_), Reading::Refused(_)) => None,
        }
    }
}

/// Reads documents with the program of the peers.
pub(super) fn by_go(documents: &[Document]) -> Vec<Reading> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    #[derive(Default)]
    struct Line {
        error: Option<String>,
        value: Value,
        warnings: Vec<String>,
    }
    let program = peers().expect("the third-party clients are built").join("openshift");
    let mut input = tempfile::tempfile().expect("a temporary file can be created");
    for Document { decoder, kind, body, .. } in documents {
        let line = json!({"Decoder": decoder, "Kind": kind, "Body": STANDARD.encode(body)});
        writeln!(input, "{line}").expect("the file can be written");
    }
    std::io::Seek::rewind(&mut input).expect("the file can be read");
    let output = Command::new(program)
        .arg("forms")
        .stdin(Stdio::from(input))
        .output()
        .expect("the program can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| match serde_json::from_slice(line).expect("a line is a reading") {
            Line { error: Some(why), .. } => Reading::Refused(why),
            Line { value, warnings, .. } => accepted(value, warnings),
        })
        .collect()
}

/// Reads a document as the server does.
pub(super) fn own(document: &Document) -> Reading {
    let Document { decoder, kind, body, .. } = document;
    let text = || str::from_utf8(body).expect("the document is UTF-8");
    let read = match decoder {
        Decoder::Json | Decoder::Yaml if *kind == "Image" => object::<Image>(*decoder, body),
        Decoder::Json | Decoder::Yaml => object::<ImageStream>(*decoder, body),
        Decoder::Apply => patched("application/apply-patch+yaml", body),
        Decoder::Strategic => patched("application/strategic-merge-patch+json", body),
        Decoder::Config => image_config::read(text())
            .map(|image| (json!(image), Vec::new()))
            .map_err(|why| why.to_string()),
        Decoder::Time => text()
            .parse::<Time>()
            .map(|time| (time.unix_seconds().into(), Vec::new()))
            .map_err(|why| why.to_string()),
    };
    match read {
        Ok((value, warnings)) => accepted(value, warnings),
        Err(why) => Reading::Refused(why),
    }
}

type Decoded = Result<(Value, Vec<String>), String>;

fn object<T: Kind>(decoder: Decoder, body: &[u8]) -> Decoded {
    let media = if decoder == Decoder::Yaml { "application/yaml" } else { "application/json" };
    let schema = Schema::of::<T>();
    let cx = request(media, body);
    let decoded = decode::object::<T>(&cx, API, &schema, FieldValidation::Warn);
    decoded.map(|decoded| (json!(decoded.object), decoded.warnings)).map_err(|why| why.message)
}

/// The object that a patch makes of an empty one.
fn patched(media: &str, body: &[u8]) -> Decoded {
    let schema = Schema::of::<ImageStream>();
    let patch = Patch::read(media, body).map_err(|why| why.message)?;
    let mut value = patch.apply_to(&json!({}), &schema).map_err(|why| why.message)?;
    patch.coerce(&mut value, &schema.root).map_err(|why| why.conversion_error())?;
    let object: ImageStream = imagestream_apiserver::machinery::value::object_from(value)?;
    Ok((json!(object), Vec::new()))
}

fn request(content_type: &str, body: &[u8]) -> RequestContext {
    RequestContext {
        actor: Actor::internal("test", Time::from_unix_seconds(1_800_000_000)),
        at: ObjectRef::default(),
        query: Query::parse(None),
        content_type: Some(content_type.to_owned()),
        agent: "test/1".into(),
        body: body.to_vec().into(),
        representation: Representation {
            media: Media::Json { pretty: false },
            form: ObjectForm::Object,
            meta_version: "v1",
        },
        transport: Transport::Stream,
        events_sent: None,
    }
}

/// A reading without what an empty field and a missing one, or the defaults of a field, make
/// different.
fn accepted(mut value: Value, warnings: Vec<String>) -> Reading {
    simplify(&mut value);
    // The server sends each line of an error of the YAML reader as a warning.
    const PREFIX: &str = "yaml: unmarshal errors:\n  ";
    let lines = |warning: String| match warning.strip_prefix(PREFIX) {
        Some(lines) => lines.split("\n  ").map(str::to_owned).collect(),
        None => vec![warning],
    };
    Reading::Accepted { value, warnings: warnings.into_iter().flat_map(lines).collect() }
}

/// Removes empty values, defaults, and type and version.
fn simplify(value: &mut Value) {
    const DEFAULTS: [&str; 5] =
        ["importMode", "referencePolicy", "kind", "apiVersion", "dockerImageMetadataVersion"];
    match value {
        Value::Object(fields) => {
            let is_reference = fields.len() == 2 && fields.contains_key("name");
            if !is_reference {
                DEFAULTS.iter().for_each(|name| drop(fields.remove(*name)));
            }
            fields.values_mut().for_each(simplify);
            if let Some(Value::Array(tags)) = fields.get_mut("tags") {
                let name = |tag: &Value| tag["name"].as_str().unwrap_or_default().to_owned();
                // Streams hold a map of tags.
                let by_name: BTreeMap<_, _> = tags.drain(..).map(|tag| (name(&tag), tag)).collect();
                tags.extend(by_name.into_values());
            }
            fields.retain(|_, value| !is_empty(value));
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0001-01-01T00:00:00Z",
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}
