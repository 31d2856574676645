//! What is written of a list: what stands envelope its objects, and each of them.

use super::encoder::ListEncoder;
use super::envelope::ListEnvelope;
use crate::endpoints::context::RequestContext;
use crate::endpoints::negotiation::ObjectForm;
use crate::endpoints::table::{self, Columns, TableEncoder};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::json;
use crate::meta::protobuf::PARTIAL_OBJECT_METADATA;
use crate::meta::{Kind, ListMeta, Status};

/// A list on its way out, object by object.
pub(crate) struct ListWriter<T: 'static> {
    shape: ItemForm<T>,
    api: GroupVersion,
    meta_version: &'static str,
    encoder: ListEncoder,
    /// Whether there was an object already.
    has_objects: bool,
    /// An object on its way, kept for its room.
    compact: Vec<u8>,
}

/// What is shown of objects.
enum ItemForm<T: 'static> {
    /// All of them.
    Objects,
    /// Their metadata.
    Partial,
    /// A row of each.
    Table(TableEncoder<T>),
}

impl<T: Kind> ListWriter<T> {
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
            ObjectForm::Object => ItemForm::Objects,
            ObjectForm::PartialMetadataList => ItemForm::Partial,
            ObjectForm::Table => {
                let columns = columns.ok_or_else(table::no_columns)?;
                ItemForm::Table(TableEncoder::new(cx, columns, api.name)?)
            }
            ObjectForm::PartialMetadata => {
                return Err(table::wrong_form("PartialObjectMetadata", "a list", &format!("{}List", T::KIND)));
            }
        };
        let meta_version = cx.representation.meta_version;
        let message = if matches!(shape, ItemForm::Partial) { &PARTIAL_OBJECT_METADATA } else { T::MESSAGE };
        let encoder = ListEncoder::new(cx.representation.media, message);
        let mut writer = Self { shape, api, meta_version, encoder, has_objects: false, compact: Vec::new() };
        let envelope = writer.envelope(&ListMeta::default());
        writer.encoder.prepare(&envelope);
        Ok(writer)
    }

    /// The media type of the list.
    pub(super) fn content_type(&self) -> &'static str {
        self.encoder.content_type()
    }

    /// Whether how many bytes the objects take must be known before the first of them is sent.
    pub(super) fn begins_with_length(&self) -> bool {
        self.encoder.begins_with_length()
    }

    /// Appends what comes first of all, however many bytes the objects take.
    ///
    /// # Errors
    /// 500 for a list that cannot be written.
    pub(super) fn open(&self, out: &mut Vec<u8>) -> Result<(), Status> {
        self.encoder.open(&self.envelope(&ListMeta::default()), out)
    }

    /// Appends what stands between that and the objects, which take so many bytes.
    ///
    /// # Errors
    /// 500 for what YAML cannot hold.
    pub(super) fn begin(&self, metadata: &ListMeta, length: usize, out: &mut Vec<u8>) -> Result<(), Status> {
        self.encoder.begin(&self.envelope(metadata), length, out)
    }

    /// Appends an object.
    ///
    /// # Errors
    /// 500 for one that YAML or protobuf cannot hold.
    pub(super) fn object(&mut self, object: &T, out: &mut Vec<u8>) -> Result<(), Status> {
        self.compact.clear();
        match &self.shape {
            ItemForm::Objects => json::encode_into(object, &mut self.compact),
            ItemForm::Partial => table::encode_metadata(object, self.meta_version, &mut self.compact),
            ItemForm::Table(rows) => rows.row(object, &mut self.compact),
        }
        let mark = if self.has_objects { b',' } else { b'[' };
        self.has_objects = true;
        self.encoder.object(mark, &self.compact, out)
    }

    /// Appends what stands behind the last object.
    ///
    /// # Errors
    /// As for [`ListWriter::begin`].
    pub(super) fn end(&mut self, metadata: &ListMeta, out: &mut Vec<u8>) -> Result<(), Status> {
        let envelope = self.envelope(metadata);
        self.encoder.end(&envelope, self.has_objects, out)
    }

    fn envelope(&self, metadata: &ListMeta) -> ListEnvelope {
        let mut head = Vec::with_capacity(512);
        let mut open = |kind: &str, group: &str, version: &str| {
            let head_of_list = format!(r#"{{"kind":"{kind}","apiVersion":"{group}{version}","metadata":"#);
            head.extend_from_slice(head_of_list.as_bytes());
            json::encode_into(metadata, &mut head);
            head.extend_from_slice(br#","items":"#);
        };
        match &self.shape {
            ItemForm::Objects => open(&format!("{}List", T::KIND), "", self.api.name),
            ItemForm::Partial => open("PartialObjectMetadataList", "meta.k8s.io/", self.meta_version),
            ItemForm::Table(rows) => rows.head(metadata, rows.definitions(), &mut head),
        }
        // Here, and only here, the reference writes an empty list as null.
        let empty = if matches!(self.shape, ItemForm::Partial) { "null" } else { "[]" };
        let name = if matches!(self.shape, ItemForm::Table(_)) { "rows" } else { "items" };
        ListEnvelope { head, name, empty }
    }
}
