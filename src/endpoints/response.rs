//! Responses with an object or a status in the negotiated representation.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

use crate::endpoints::context::RequestContext;
use crate::endpoints::gzip;
use crate::endpoints::negotiation::{Media, ObjectForm};
use crate::endpoints::response_body::ResponseBody;
use crate::endpoints::table::{self, Columns};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::json;
use crate::machinery::protobuf;
use crate::machinery::yaml;
use crate::meta::protobuf::{MessageDescriptor, PARTIAL_OBJECT_METADATA, STATUS};
use crate::meta::{Kind, ListMeta, Status};
use crate::registry::outcome::{ReadResult, WriteResult, Written};

/// A response of the API, ready to be sent.
#[derive(Debug)]
pub struct ApiResponse {
    /// HTTP status code.
    pub code: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// Compression of the body.
    pub encoding: ContentEncoding,
    /// The body.
    pub body: ResponseBody,
    /// Seconds for `Retry-After`; 0 for none.
    pub retry_after: u32,
    /// The cause of an internal error, for the log only.
    pub hidden: Option<String>,
    /// The status in the body, for the audit log; none for other bodies.
    pub status: Option<Box<Status>>,
    /// Texts of the `Warning` headers.
    pub warnings: Vec<String>,
    /// Annotations for the audit log.
    pub audit_annotations: BTreeMap<String, String>,
}

/// The compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEncoding {
    /// No compression.
    Identity,
    /// Compression with gzip.
    Gzip,
}

impl ApiResponse {
    /// A response with this body.
    pub fn new(code: u16, content_type: &'static str, body: impl Into<ResponseBody>) -> Self {
        Self {
            code,
            content_type,
            encoding: ContentEncoding::Identity,
            body: body.into(),
            retry_after: 0,
            hidden: None,
            status: None,
            warnings: Vec::new(),
            audit_annotations: BTreeMap::new(),
        }
    }

    /// A response that converts compact JSON, which ends with a newline, to another media type. A
    /// table has no protobuf message.
    fn converted(
        code: u16,
        media: Media,
        message: Option<&'static MessageDescriptor>,
        compact: Vec<u8>,
    ) -> Result<Self, Status> {
        let body = match media {
            Media::Json { pretty: false } => compact,
            Media::Json { pretty: true } => json::indent(&compact),
            Media::Yaml => to_yaml(&compact)?.into_bytes(),
            Media::Protobuf => to_protobuf(message, &compact)?,
        };
        Ok(Self::new(code, media.content_type(), body))
    }

    /// A response with a prepared document: compact JSON, which ends with a newline.
    ///
    /// # Errors
    /// 500 for a text that YAML cannot represent.
    pub fn prepared(
        media: Media,
        message: &'static MessageDescriptor,
        compact: &Bytes,
    ) -> Result<Self, Status> {
        match media {
            Media::Json { pretty: false } => {
                Ok(Self::new(200, media.content_type(), compact.clone()))
            }
            other => Self::converted(200, other, Some(message), compact.to_vec()),
        }
    }

    /// A response with a status. A status without a code is 200.
    pub fn status(status: &Status, media: Media) -> Self {
        let mut compact = Vec::with_capacity(512);
        json::encode_behind(br#"{"kind":"Status","apiVersion":"v1""#, status, &mut compact);
        compact.push(b'\n');
        let code = if status.code == 0 { 200 } else { status.code };
        // Some texts have no representation in YAML.
        let is_representable = media != Media::Yaml || to_yaml(&compact).is_ok();
        let media = if is_representable { media } else { Media::Json { pretty: true } };
        let mut response = match Self::converted(code, media, Some(&STATUS), compact) {
            Ok(response) => response,
            Err(_) => Self::new(code, media.content_type(), Bytes::new()),
        };
        response.retry_after =
            status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        response.hidden = status.hidden.clone();
        response.warnings.clone_from(&status.warnings);
        response.status = Some(Box::new(status.clone()));
        response
    }

    /// A response with one object.
    ///
    /// # Errors
    /// 406 if the client accepts lists only, 400 for invalid table options, 500 for a text that
    /// YAML cannot represent.
    pub fn object<T: Kind>(
        cx: &RequestContext,
        api: GroupVersion,
        code: u16,
        sent: ReadResult<T>,
        columns: Option<&'static Columns<T>>,
    ) -> Result<Self, Status> {
        let media = cx.representation.media;
        let mut message = Some(T::MESSAGE);
        let mut compact = match (cx.representation.form, sent) {
            (_, ReadResult::Partial { object, warnings }) => {
                let whole = ReadResult::Object(object);
                let response = Self::object(cx, api, code, whole, columns)?;
                return Ok(Self { warnings, ..response });
            }
            (ObjectForm::Object, ReadResult::Json(compact)) => {
                return Self::converted(code, media, message, compact);
            }
            (ObjectForm::Object, ReadResult::Object(object)) => {
                let mut compact = Vec::with_capacity(2048);
                table::encode_object(&*object, api.name, &mut compact);
                compact
            }
            (ObjectForm::Table, sent) => {
                let object = into_object(sent)?;
                let resource_version = object.metadata().resource_version.clone();
                let metadata = ListMeta { resource_version, ..ListMeta::default() };
                let columns = columns.ok_or_else(table::no_columns)?;
                message = None;
                table::encode_table(cx, columns, &metadata, &object, api.name)?
            }
            (ObjectForm::PartialMetadata, sent) => {
                message = Some(&PARTIAL_OBJECT_METADATA);
                let mut compact = Vec::with_capacity(512);
                table::encode_metadata(
                    &into_object(sent)?,
                    cx.representation.meta_version,
                    &mut compact,
                );
                compact
            }
            (ObjectForm::PartialMetadataList, _) => {
                return Err(table::wrong_form("PartialObjectMetadataList", "not a list", T::KIND));
            }
        };
        compact.push(b'\n');
        Self::converted(code, media, message, compact)
    }

    /// The response to a write.
    ///
    /// # Errors
    /// As for [`ApiResponse::object`].
    pub fn written<T: Kind>(
        cx: &RequestContext,
        api: GroupVersion,
        written: Written<T>,
        columns: Option<&'static Columns<T>>,
    ) -> Result<Self, Status> {
        let object =
            |code, object| Self::object(cx, api, code, ReadResult::Object(object), columns);
        let mut response = match written.result {
            WriteResult::Created(created) => object(201, created)?,
            WriteResult::Updated(updated) => object(200, updated)?,
            WriteResult::Accepted(accepted) => object(202, accepted)?,
            WriteResult::Status(status) => Self::status(&status, cx.representation.media),
        };
        response.warnings = written.warnings;
        Ok(response)
    }
}

fn into_object<T: Kind>(sent: ReadResult<T>) -> Result<T, Status> {
    match sent {
        ReadResult::Object(object) | ReadResult::Partial { object, .. } => Ok(*object),
        ReadResult::Json(compact) => serde_json::from_slice(&compact).map_err(Status::hidden),
    }
}

/// The size from which bodies are compressed, in bytes (`defaultGzipThresholdBytes` in
/// k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/writers.go).
pub(crate) const GZIP_THRESHOLD_BYTES: usize = 128 << 10;

impl ApiResponse {
    /// Compresses a large body if the client accepts gzip.
    ///
    /// Only an element `gzip` without parameters counts, as in `negotiateContentEncoding` in
    /// k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/writers.go.
    pub fn compressed(mut self, headers: &HeaderMap) -> Self {
        let accepted = headers
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !accepted.split(',').any(|coding| coding.trim() == "gzip") {
            return self;
        }
        (self.body, self.encoding) = match self.body {
            ResponseBody::Full(bytes) if bytes.len() > GZIP_THRESHOLD_BYTES => {
                (gzip::compress(&bytes).into(), ContentEncoding::Gzip)
            }
            // Only large bodies are sent in chunks.
            ResponseBody::Chunks(chunks) => {
                (ResponseBody::Chunks(gzip::compress_stream(chunks)), ContentEncoding::Gzip)
            }
            other => (other, self.encoding),
        };
        self
    }
}

fn to_yaml(compact: &[u8]) -> Result<String, Status> {
    let value: Value = serde_json::from_slice(compact).map_err(Status::hidden)?;
    yaml::encode(&value).map_err(|why| Status::internal(why.to_string()))
}

fn to_protobuf(
    message: Option<&'static MessageDescriptor>,
    compact: &[u8],
) -> Result<Vec<u8>, Status> {
    let message = message
        .ok_or_else(|| Status::hidden("protobuf was negotiated for a kind without a message"))?;
    protobuf::encode_object(message, compact).map_err(Status::hidden)
}
