//! What is written of a list: what stands around its objects, and each of them.

use super::pen::Pen;
use crate::endpoints::context::RequestContext;
use crate::endpoints::negotiate::Form;
use crate::endpoints::table::{self, Columns, Rows};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::json;
use crate::meta::protobuf::PARTIAL_OBJECT_METADATA;
use crate::meta::{Kind, ListMeta, Status};

/// A list on its way out, object by object.
pub(crate) struct Frame<T: 'static> {
    shape: Shape<T>,
    api: GroupVersion,
    meta_version: &'static str,
    pen: Pen,
    /// Whether there was an object already.
    has_objects: bool,
    /// An object on its way, kept for its room.
    compact: Vec<u8>,
}

/// What is shown of objects.
enum Shape<T: 'static> {
    /// All of them.
    Objects,
    /// Their metadata.
    Partial,
    /// A row of each.
    Table(Rows<T>),
}

impl<T: Kind> Frame<T> {
    /// A list as a request wants it.
    ///
    /// # Errors
    /// 406 where a single object was asked for, 400 for bad table parameters.
    pub(crate) fn new(
        cx: &RequestContext,
        api: GroupVersion,
        columns: Option<&'static Columns<T>>,
    ) -> Result<Self, Status> {
        let shape = match cx.representation.form {
            Form::Object => Shape::Objects,
            Form::PartialList => Shape::Partial,
            Form::Table => {
                let columns = columns.ok_or_else(table::missing)?;
                Shape::Table(Rows::new(cx, columns, api.name)?)
            }
            Form::Partial => {
                return Err(table::wrong_form("PartialObjectMetadata", "a list", &format!("{}List", T::KIND)));
            }
        };
        let meta_version = cx.representation.meta_version;
        let message = if matches!(shape, Shape::Partial) { &PARTIAL_OBJECT_METADATA } else { T::MESSAGE };
        let pen = Pen::new(cx.representation.media, message);
        let mut frame = Self { shape, api, meta_version, pen, has_objects: false, compact: Vec::new() };
        let around = frame.around(&ListMeta::default());
        frame.pen.prepare(&around);
        Ok(frame)
    }

    /// The media type of the list.
    pub(super) fn content_type(&self) -> &'static str {
        self.pen.content_type()
    }

    /// Whether how many bytes the objects take must be known before the first of them is sent.
    pub(super) fn begins_with_length(&self) -> bool {
        self.pen.begins_with_length()
    }

    /// Appends what comes first of all, however many bytes the objects take.
    ///
    /// # Errors
    /// 500 for a list that cannot be written.
    pub(super) fn open(&self, out: &mut Vec<u8>) -> Result<(), Status> {
        self.pen.open(&self.around(&ListMeta::default()), out)
    }

    /// Appends what stands between that and the objects, which take so many bytes.
    ///
    /// # Errors
    /// 500 for what YAML cannot hold.
    pub(super) fn begin(&self, metadata: &ListMeta, length: usize, out: &mut Vec<u8>) -> Result<(), Status> {
        self.pen.begin(&self.around(metadata), length, out)
    }

    /// Appends an object.
    ///
    /// # Errors
    /// 500 for one that YAML or protobuf cannot hold.
    pub(super) fn object(&mut self, object: &T, out: &mut Vec<u8>) -> Result<(), Status> {
        self.compact.clear();
        match &self.shape {
            Shape::Objects => json::encode_into(object, &mut self.compact),
            Shape::Partial => table::partial(object, self.meta_version, &mut self.compact),
            Shape::Table(rows) => rows.row(object, &mut self.compact),
        }
        let mark = if self.has_objects { b',' } else { b'[' };
        self.has_objects = true;
        self.pen.object(mark, &self.compact, out)
    }

    /// Appends what stands behind the last object.
    ///
    /// # Errors
    /// As for [`Frame::begin`].
    pub(super) fn end(&mut self, metadata: &ListMeta, out: &mut Vec<u8>) -> Result<(), Status> {
        let around = self.around(metadata);
        self.pen.end(&around, self.has_objects, out)
    }

    fn around(&self, metadata: &ListMeta) -> Around {
        let mut head = Vec::with_capacity(512);
        let mut open = |kind: &str, group: &str, version: &str| {
            let head_of_list = format!(r#"{{"kind":"{kind}","apiVersion":"{group}{version}","metadata":"#);
            head.extend_from_slice(head_of_list.as_bytes());
            json::encode_into(metadata, &mut head);
            head.extend_from_slice(br#","items":"#);
        };
        match &self.shape {
            Shape::Objects => open(&format!("{}List", T::KIND), "", self.api.name),
            Shape::Partial => open("PartialObjectMetadataList", "meta.k8s.io/", self.meta_version),
            Shape::Table(rows) => rows.head(metadata, rows.definitions(), &mut head),
        }
        // Here, and only here, the reference writes an empty list as null.
        let empty = if matches!(self.shape, Shape::Partial) { "null" } else { "[]" };
        let name = if matches!(self.shape, Shape::Table(_)) { "rows" } else { "items" };
        Around { head, name, empty }
    }
}

/// What stands around the objects of a list.
pub(super) struct Around {
    /// The compact JSON before them, up to the colon behind their name.
    pub(super) head: Vec<u8>,
    /// What they are called.
    pub(super) name: &'static str,
    /// What stands in their place where there are none.
    pub(super) empty: &'static str,
}

impl Around {
    /// The compact JSON of the list without its objects.
    pub(super) fn empty_list(&self) -> Vec<u8> {
        [&self.head, &b"[]}"[..]].concat()
    }
}
