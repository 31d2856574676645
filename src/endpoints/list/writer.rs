//! A writer for lists in the negotiated representation.

use super::encoder::ListEncoder;
use super::envelope::ListEnvelope;
use crate::endpoints::context::RequestContext;
use crate::endpoints::negotiation::ObjectForm;
use crate::endpoints::table::{self, Columns, TableEncoder};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::json;
use crate::meta::protobuf::PARTIAL_OBJECT_METADATA;
use crate::meta::{Kind, ListMeta, Status};
use crate::registry::list::object_stream::ListItem;
use crate::registry::object_store::unreadable;

/// A writer for a list whose objects arrive one by one.
pub(crate) struct ListWriter<T: 'static> {
    form: ItemForm<T>,
    api: GroupVersion,
    meta_version: &'static str,
    encoder: ListEncoder,
    has_items: bool,
    /// The item in compact JSON. A field only to reuse its memory.
    compact: Vec<u8>,
}

/// The maximum size of the memory that is kept between two items, in bytes.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// The form of the items.
enum ItemForm<T: 'static> {
    Objects,
    Metadata,
    Rows(TableEncoder<T>),
}

impl<T: Kind> ListWriter<T> {
    /// A writer for the response to a request.
    ///
    /// # Errors
    /// 406 if the client accepts single objects only, 400 for invalid table options.
    pub(crate) fn new(
        cx: &RequestContext,
        api: GroupVersion,
        columns: Option<&'static Columns<T>>,
    ) -> Result<Self, Status> {
        let form = match cx.representation.form {
            ObjectForm::Object => ItemForm::Objects,
            ObjectForm::PartialMetadataList => ItemForm::Metadata,
            ObjectForm::Table => {
                let columns = columns.ok_or_else(table::no_columns)?;
                ItemForm::Rows(TableEncoder::new(cx, columns, api.name)?)
            }
            ObjectForm::PartialMetadata => {
                return Err(table::wrong_form(
                    "PartialObjectMetadata",
                    "a list",
                    &format!("{}List", T::KIND),
                ));
            }
        };
        let meta_version = cx.representation.meta_version;
        let message =
            if matches!(form, ItemForm::Metadata) { &PARTIAL_OBJECT_METADATA } else { T::MESSAGE };
        let encoder = ListEncoder::new(cx.representation.media, message);
        let mut writer =
            Self { form, api, meta_version, encoder, has_items: false, compact: Vec::new() };
        let envelope = writer.envelope(&ListMeta::default());
        writer.encoder.prepare(&envelope);
        Ok(writer)
    }

    /// The media type of the list.
    pub(super) fn content_type(&self) -> &'static str {
        self.encoder.content_type()
    }

    /// Returns true if the size of all items precedes the first item.
    pub(super) fn needs_length(&self) -> bool {
        self.encoder.needs_length()
    }

    /// Appends the beginning, which does not depend on metadata and items.
    ///
    /// # Errors
    /// 500 for a list that cannot be encoded.
    pub(super) fn open(&self, out: &mut Vec<u8>) -> Result<(), Status> {
        self.encoder.open(&self.envelope(&ListMeta::default()), out)
    }

    /// Appends the part between the beginning and the items. `length` is the size of all encoded
    /// items.
    ///
    /// # Errors
    /// 500 for metadata that YAML cannot represent.
    pub(super) fn begin(
        &self,
        metadata: &ListMeta,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        self.encoder.begin(&self.envelope(metadata), length, out)
    }

    /// Appends an item.
    ///
    /// # Errors
    /// 500 for an object that YAML or protobuf cannot represent, or that cannot be read.
    pub(super) fn item(&mut self, item: &ListItem<T>, out: &mut Vec<u8>) -> Result<(), Status> {
        self.compact.clear();
        match (&self.form, item) {
            (ItemForm::Objects, ListItem::Object(object)) => {
                json::encode_into(&**object, &mut self.compact)
            }
            (ItemForm::Objects, ListItem::Stored(parts)) => parts.encode_into(&mut self.compact),
            (ItemForm::Metadata, ListItem::Object(object)) => {
                table::encode_metadata(&**object, self.meta_version, &mut self.compact)
            }
            (ItemForm::Rows(table), ListItem::Object(object)) => {
                table.row(object, &mut self.compact)
            }
            (ItemForm::Metadata | ItemForm::Rows(_), ListItem::Stored(_)) => {
                return Err(Status::hidden("a list of other objects has stored ones"));
            }
        }
        let delimiter = if self.has_items { b',' } else { b'[' };
        self.has_items = true;
        self.encoder.item(delimiter, &self.compact, out).map_err(|status| match item {
            ListItem::Object(_) => status,
            ListItem::Stored(parts) => {
                unreadable(&parts.key, &status.hidden.unwrap_or(status.message))
            }
        })?;
        if self.compact.capacity() > MAX_KEPT_BYTES {
            self.compact = Vec::new();
        }
        Ok(())
    }

    /// Appends the part after the items.
    ///
    /// # Errors
    /// As for [`ListWriter::begin`].
    pub(super) fn end(&mut self, metadata: &ListMeta, out: &mut Vec<u8>) -> Result<(), Status> {
        let envelope = self.envelope(metadata);
        self.encoder.end(&envelope, self.has_items, out)
    }

    fn envelope(&self, metadata: &ListMeta) -> ListEnvelope {
        let mut head = Vec::with_capacity(512);
        let mut begin = |kind: &str, group: &str, version: &str| {
            let type_meta =
                format!(r#"{{"kind":"{kind}","apiVersion":"{group}{version}","metadata":"#);
            head.extend_from_slice(type_meta.as_bytes());
            json::encode_into(metadata, &mut head);
            head.extend_from_slice(br#","items":"#);
        };
        match &self.form {
            ItemForm::Objects => begin(&format!("{}List", T::KIND), "", self.api.name),
            ItemForm::Metadata => {
                begin("PartialObjectMetadataList", "meta.k8s.io/", self.meta_version)
            }
            ItemForm::Rows(table) => table.begin(metadata, table.definitions(), &mut head),
        }
        // kube-apiserver writes an empty list as null in this form only.
        let empty = if matches!(self.form, ItemForm::Metadata) { "null" } else { "[]" };
        let key = if matches!(self.form, ItemForm::Rows(_)) { "rows" } else { "items" };
        ListEnvelope { head, key, empty }
    }
}
