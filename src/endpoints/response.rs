//! Answers: objects, lists and statuses in the representation that was agreed upon.

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

/// An answer, ready to be sent.
#[derive(Debug)]
pub struct ApiResponse {
    /// HTTP status code.
    pub code: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// How the body is compressed.
    pub encoding: ContentEncoding,
    /// The body.
    pub body: ResponseBody,
    /// Seconds for `Retry-After`; 0 for none.
    pub retry_after: u32,
    /// What went wrong inside, for the log only.
    pub hidden: Option<String>,
    /// The status in the body, for the audit log; none for other bodies.
    pub status: Option<Box<Status>>,
    /// What the client should hear besides.
    pub warnings: Vec<String>,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEncoding {
    /// Not at all.
    Identity,
    /// With gzip.
    Gzip,
}

impl ApiResponse {
    /// An answer with this body.
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
        }
    }

    /// Compact JSON, complete with its final newline, in another way of writing. Tables are no messages and have no protobuf.
    fn write(
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

    /// An answer that was prepared: compact JSON, complete with its final newline.
    ///
    /// # Errors
    /// A text that cannot be written as YAML.
    pub fn prepared(media: Media, message: &'static MessageDescriptor, compact: &Bytes) -> Result<Self, Status> {
        match media {
            Media::Json { pretty: false } => Ok(Self::new(200, media.content_type(), compact.clone())),
            other => Self::write(200, other, Some(message), compact.to_vec()),
        }
    }

    /// The answer that tells a status: its code, or 200 where it has none.
    pub fn status(status: &Status, media: Media) -> Self {
        let mut compact = Vec::with_capacity(512);
        json::encode_behind(br#"{"kind":"Status","apiVersion":"v1""#, status, &mut compact);
        compact.push(b'\n');
        let code = if status.code == 0 { 200 } else { status.code };
        // What YAML cannot hold is told as JSON.
        let is_writable = media != Media::Yaml || to_yaml(&compact).is_ok();
        let media = if is_writable { media } else { Media::Json { pretty: true } };
        let mut reply = match Self::write(code, media, Some(&STATUS), compact) {
            Ok(reply) => reply,
            Err(_) => Self::new(code, media.content_type(), Bytes::new()),
        };
        reply.retry_after = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        reply.hidden = status.hidden.clone();
        reply.warnings.clone_from(&status.warnings);
        reply.status = Some(Box::new(status.clone()));
        reply
    }

    /// One object.
    ///
    /// # Errors
    /// 406 where the object was asked for as a list, 400 for bad table parameters, 500 where YAML cannot hold it.
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
            (ObjectForm::Object, ReadResult::Json(compact)) => return Self::write(code, media, message, compact),
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
                table::encode(cx, columns, &metadata, &object, api.name)?
            }
            (ObjectForm::PartialMetadata, sent) => {
                message = Some(&PARTIAL_OBJECT_METADATA);
                let mut compact = Vec::with_capacity(512);
                table::encode_metadata(&into_object(sent)?, cx.representation.meta_version, &mut compact);
                compact
            }
            (ObjectForm::PartialMetadataList, _) => {
                return Err(table::wrong_form("PartialObjectMetadataList", "not a list", T::KIND));
            }
        };
        compact.push(b'\n');
        Self::write(code, media, message, compact)
    }

    /// What a write came to. A status is answered with its own code, or 200 where it has none.
    ///
    /// # Errors
    /// As for [`ApiResponse::object`].
    pub fn written<T: Kind>(
        cx: &RequestContext,
        api: GroupVersion,
        written: Written<T>,
        columns: Option<&'static Columns<T>>,
    ) -> Result<Self, Status> {
        let object = |code, object| Self::object(cx, api, code, ReadResult::Object(object), columns);
        let mut reply = match written.result {
            WriteResult::Created(created) => object(201, created)?,
            WriteResult::Updated(updated) => object(200, updated)?,
            WriteResult::Accepted(accepted) => object(202, accepted)?,
            WriteResult::Status(status) => Self::status(&status, cx.representation.media),
        };
        reply.warnings = written.warnings;
        Ok(reply)
    }
}

fn into_object<T: Kind>(sent: ReadResult<T>) -> Result<T, Status> {
    match sent {
        ReadResult::Object(object) => Ok(*object),
        ReadResult::Json(compact) => serde_json::from_slice(&compact).map_err(Status::hidden),
    }
}

/// Bodies up to this size are not compressed, in bytes: they are not worth the time.
pub(crate) const GZIP_THRESHOLD_BYTES: usize = 128 << 10;

impl ApiResponse {
    /// The same answer, compressed if it is large and the client accepts that.
    ///
    /// As in the reference, only a bare `gzip` in the list counts as acceptance.
    pub fn compressed(mut self, headers: &HeaderMap) -> Self {
        let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !accepted.split(',').any(|each| each.trim() == "gzip") {
            return self;
        }
        (self.body, self.encoding) = match self.body {
            ResponseBody::Full(bytes) if bytes.len() > GZIP_THRESHOLD_BYTES => {
                (gzip::whole(&bytes).into(), ContentEncoding::Gzip)
            }
            // What is made part by part is large.
            ResponseBody::Chunks(parts) => (ResponseBody::Chunks(gzip::parts(parts)), ContentEncoding::Gzip),
            other => (other, self.encoding),
        };
        self
    }
}

fn to_yaml(compact: &[u8]) -> Result<String, Status> {
    let value: Value = serde_json::from_slice(compact).map_err(Status::hidden)?;
    yaml::encode(&value).map_err(|why| Status::internal(why.to_string()))
}

fn to_protobuf(message: Option<&'static MessageDescriptor>, compact: &[u8]) -> Result<Vec<u8>, Status> {
    let message = message.ok_or_else(|| Status::hidden("protobuf was agreed upon for what has none"))?;
    protobuf::encode_object(message, compact).map_err(Status::hidden)
}
