//! An encoder for the events of one watch.

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;

use super::frame::{self, WatchEventType};
use crate::endpoints::context::{RequestContext, Transport};
use crate::endpoints::negotiation::{Media, ObjectForm, Representation};
use crate::endpoints::table::{self, Columns, IncludeObject, TableEncoder};
use crate::machinery::group_version::GroupVersion;
use crate::machinery::json;
use crate::meta::protobuf::{PARTIAL_OBJECT_METADATA, STATUS};
use crate::meta::{Kind, ListMeta, Status, Time};
use crate::registry::watch::EncodingId;

/// Encodes the events of one watch.
pub(crate) struct EventEncoder<T: 'static> {
    api: GroupVersion,
    columns: Option<&'static Columns<T>>,
    format: EventFormat,
    transport: Transport,
    sent: Counter,
}

/// The properties on which the encoding of an event depends. Watches of the same format share
/// encoded events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventFormat {
    media: Media,
    form: ObjectForm,
    meta_version: &'static str,
    include: IncludeObject,
    definitions: ColumnDefinitions,
}

/// The column definitions of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnDefinitions {
    /// For the first event.
    Included,
    /// For later events, because the client has the definitions already.
    Omitted,
}

impl EventFormat {
    /// The format of the first event.
    fn of(
        Representation { media, form, meta_version }: Representation,
        include: IncludeObject,
    ) -> Self {
        let definitions = if form == ObjectForm::Table {
            ColumnDefinitions::Included
        } else {
            ColumnDefinitions::Omitted
        };
        Self { media, form, meta_version, include, definitions }
    }

    /// The number of this format. Each property has its own bits.
    fn number(self) -> u32 {
        let media = match self.media {
            Media::Json { pretty: false } => 0,
            Media::Json { pretty: true } => 1,
            Media::Yaml => 2,
            Media::Protobuf => 3,
        };
        let version = u32::from(self.meta_version == "v1");
        let (form, include) = (self.form as u32, self.include as u32);
        let definitions = self.definitions as u32;
        media | form << 2 | include << 4 | definitions << 6 | version << 7
    }
}

impl<T: Kind> EventEncoder<T> {
    /// An encoder for the response to a request.
    ///
    /// # Errors
    /// 400 for invalid table options, 406 for `PartialObjectMetadataList`.
    pub(crate) fn new(
        cx: &RequestContext,
        api: GroupVersion,
        columns: Option<&'static Columns<T>>,
    ) -> Result<Self, Status> {
        let representation = cx.representation;
        let is_table = representation.form == ObjectForm::Table;
        if is_table && columns.is_none() {
            return Err(table::no_columns());
        }
        if representation.form == ObjectForm::PartialMetadataList {
            return Err(table::wrong_form("PartialObjectMetadataList", "not a list", T::KIND));
        }
        let include = if is_table { table::include_object(cx)? } else { IncludeObject::Metadata };
        Ok(Self {
            api,
            columns,
            format: EventFormat::of(representation, include),
            transport: cx.transport,
            sent: cx.events_sent.clone().unwrap_or_default(),
        })
    }

    /// The media type of the response.
    pub(super) fn content_type(&self) -> &'static str {
        frame::content_type(self.format.media)
    }

    /// The transport of the events.
    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    /// A frame for the transport. WebSocket messages need no delimiter.
    pub(super) fn to_transport(&self, frame: Bytes) -> Bytes {
        match self.transport {
            Transport::Stream => frame,
            Transport::WebSocket => frame::without_delimiter(self.format.media, &frame),
        }
    }

    /// The encoding of the next event.
    pub(super) fn encoding(&self) -> EncodingId {
        EncodingId { kind: T::KIND, format: self.format.number() }
    }

    /// Counts a sent event. Later tables omit the column definitions.
    pub(super) fn count_event(&mut self) {
        self.sent.inc();
        self.format.definitions = ColumnDefinitions::Omitted;
    }

    /// Encodes an event with an object.
    ///
    /// # Errors
    /// 500 for an object that the media type cannot represent.
    pub(super) fn event(
        &self,
        r#type: WatchEventType,
        object: &T,
        now: Time,
    ) -> Result<Bytes, Status> {
        let mut compact = Vec::with_capacity(1024);
        let EventFormat { form, meta_version, .. } = self.format;
        match (form, self.columns) {
            (ObjectForm::Table, Some(columns)) => self.table(columns, object, now, &mut compact),
            (ObjectForm::PartialMetadata, _) => {
                table::encode_metadata(object, meta_version, &mut compact)
            }
            _ => table::encode_object(object, self.api.name, &mut compact),
        }
        let message =
            if form == ObjectForm::PartialMetadata { &PARTIAL_OBJECT_METADATA } else { T::MESSAGE };
        frame::frame(self.format.media, r#type, message, &compact)
    }

    /// Encodes the ERROR event that ends a watch.
    ///
    /// # Errors
    /// As for [`EventEncoder::event`].
    pub(super) fn error(&self, status: &Status) -> Result<Bytes, Status> {
        let mut compact = Vec::with_capacity(256);
        json::encode_behind(br#"{"kind":"Status","apiVersion":"v1""#, status, &mut compact);
        frame::frame(self.format.media, WatchEventType::Error, &STATUS, &compact)
    }

    /// Appends a table with one row.
    fn table(&self, columns: &'static Columns<T>, object: &T, now: Time, out: &mut Vec<u8>) {
        let EventFormat { meta_version, include, definitions, .. } = self.format;
        let table =
            TableEncoder { columns, include, meta_version, group_version: self.api.name, now };
        let resource_version = object.metadata().resource_version.clone();
        let definitions =
            table.definitions().filter(|_| definitions == ColumnDefinitions::Included);
        table.begin(&ListMeta { resource_version, ..ListMeta::default() }, definitions, out);
        out.push(b'[');
        table.row(object, out);
        out.extend_from_slice(b"]}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ImageStream;
    use crate::endpoints::table::Column;
    use crate::registry::watch::tests::{StreamReader, put};
    use crate::registry::watch::{
        CachedEvent, EncodedChange, EncodedEvent, EventType, Identity, Projection,
    };

    const API: GroupVersion =
        GroupVersion { group: "g", name: "g/v1", version: "v1", kinds: &["ImageStream"] };
    static COLUMNS: Columns<ImageStream> = Columns {
        definitions: &[Column {
            name: "Name",
            r#type: "string",
            format: "name",
            description: "",
            priority: 0,
        }],
        cells: |stream, _| vec![stream.metadata.name.clone().into()],
    };

    fn encoder(form: ObjectForm, media: Media) -> EventEncoder<ImageStream> {
        let representation = Representation { media, form, meta_version: "v1" };
        let format = EventFormat::of(representation, IncludeObject::Metadata);
        EventEncoder {
            api: API,
            columns: Some(&COLUMNS),
            format,
            transport: Transport::Stream,
            sent: Counter::default(),
        }
    }

    fn encode(
        change: &CachedEvent<ImageStream>,
        r#type: EventType,
        encoder: &EventEncoder<ImageStream>,
        now: Time,
    ) -> Bytes {
        let encode_event = || {
            let mut changes = Identity.changes(&change.states(r#type, &StreamReader))?;
            let (_, object) = changes.next::<ImageStream>(&Identity)?.expect("one object changed");
            let frame = encoder.event(r#type.into(), &object, now)?;
            Ok(EncodedEvent::Shared([EncodedChange { name: Box::default(), frame }].into()))
        };
        match change.encoded(r#type, encoder.encoding(), encode_event).unwrap() {
            EncodedEvent::Shared(events) => events[0].frame.clone(),
            EncodedEvent::TooLarge => unreachable!("one event is always shared"),
        }
    }

    #[test]
    fn watches_of_the_same_format_share_an_encoded_event() {
        let change = CachedEvent::new(put("s", 7));
        let now = Time::from_unix_seconds(0);
        let encode =
            |encoder: &EventEncoder<_>, r#type: EventType| encode(&change, r#type, encoder, now);
        let json = encoder(ObjectForm::Object, Media::Json { pretty: false });
        let first = encode(&json, EventType::Added);
        assert_eq!(first.as_ptr(), encode(&json, EventType::Added).as_ptr());
        assert_ne!(first, encode(&json, EventType::Modified));
        let partial = encode(
            &encoder(ObjectForm::PartialMetadata, Media::Json { pretty: false }),
            EventType::Added,
        );
        assert!(
            partial.starts_with(br#"{"type":"ADDED","object":{"kind":"PartialObjectMetadata""#)
        );
        assert_ne!(encode(&encoder(ObjectForm::Object, Media::Protobuf), EventType::Added), first);
    }

    #[test]
    fn a_change_caches_few_encodings() {
        let change = CachedEvent::new(put("s", 7));
        let encode_as = |form, r#type: EventType| {
            let encoder = encoder(form, Media::Json { pretty: false });
            encode(&change, r#type, &encoder, Time::from_unix_seconds(0))
        };
        let first = encode_as(ObjectForm::Object, EventType::Added);
        encode_as(ObjectForm::Object, EventType::Modified);
        encode_as(ObjectForm::PartialMetadata, EventType::Added);
        encode_as(ObjectForm::PartialMetadata, EventType::Modified);
        assert_eq!(first.as_ptr(), encode_as(ObjectForm::Object, EventType::Added).as_ptr());
        encode_as(ObjectForm::Table, EventType::Added);
        let again = encode_as(ObjectForm::Object, EventType::Added);
        assert!(first.as_ptr() != again.as_ptr() && first == again);
    }

    #[test]
    fn only_the_first_table_has_column_definitions() {
        let mut table = encoder(ObjectForm::Table, Media::Json { pretty: false });
        let stream = ImageStream::default();
        let event = |table: &EventEncoder<_>| {
            table.event(WatchEventType::Added, &stream, Time::from_unix_seconds(0)).unwrap()
        };
        let has = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
        assert!(has(&event(&table), r#""columnDefinitions":[{"name":"Name""#));
        table.count_event();
        assert!(has(&event(&table), r#""columnDefinitions":null"#));
    }
}
