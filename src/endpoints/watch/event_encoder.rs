//! How the events of a watch are written: what was agreed upon with the client, for the whole watch.

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

/// Writes the events of one watch.
pub(crate) struct EventEncoder<T: 'static> {
    api: GroupVersion,
    columns: Option<&'static Columns<T>>,
    format: EventFormat,
    transport: Transport,
    sent: Counter,
}

/// All that decides how an event is written. Two watches of the same format share their events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventFormat {
    media: Media,
    form: ObjectForm,
    meta_version: &'static str,
    include: IncludeObject,
    definitions: ColumnDefinitions,
}

/// Whether a table says what its columns are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnDefinitions {
    /// It does.
    Included,
    /// It does not, since the client knows it of an earlier event.
    Omitted,
}

impl EventFormat {
    /// The format of the first event.
    fn of(Representation { media, form, meta_version }: Representation, include: IncludeObject) -> Self {
        let definitions =
            if form == ObjectForm::Table { ColumnDefinitions::Included } else { ColumnDefinitions::Omitted };
        Self { media, form, meta_version, include, definitions }
    }
}

impl EventFormat {
    /// The number of this format; each field has bits of its own.
    fn encoding(self) -> EncodingId {
        let media = match self.media {
            Media::Json { pretty: false } => 0,
            Media::Json { pretty: true } => 1,
            Media::Yaml => 2,
            Media::Protobuf => 3,
        };
        let version = u32::from(self.meta_version == "v1");
        let (form, include) = (self.form as u32, self.include as u32);
        let definitions = self.definitions as u32;
        EncodingId(media | form << 2 | include << 4 | definitions << 6 | version << 7)
    }
}

impl<T: Kind> EventEncoder<T> {
    /// Writes events as a request wants to have them.
    ///
    /// # Errors
    /// 400 for bad table parameters; 406 for the form of lists, which events do not have.
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

    /// What the answer says in `Content-WatchEventType`.
    pub(super) fn content_type(&self) -> &'static str {
        frame::content_type(self.format.media)
    }

    /// How the events go to the client.
    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    /// A frame as it goes to the client: a message begins and ends without what separates frames.
    pub(super) fn packed(&self, frame: Bytes) -> Bytes {
        match self.transport {
            Transport::Stream => frame,
            Transport::WebSocket => frame::bare(self.format.media, &frame),
        }
    }

    /// The encoding of the next event.
    pub(super) fn encoding(&self) -> EncodingId {
        self.format.encoding()
    }

    /// Takes note that the client gets to see an event.
    pub(super) fn note_event(&mut self) {
        self.sent.inc();
        self.format.definitions = ColumnDefinitions::Omitted;
    }

    /// An event about an object.
    ///
    /// # Errors
    /// 500 for an object that cannot be written in the media type.
    pub(super) fn event(&self, r#type: WatchEventType, object: &T, now: Time) -> Result<Bytes, Status> {
        let mut compact = Vec::with_capacity(1024);
        let EventFormat { form, meta_version, .. } = self.format;
        match (form, self.columns) {
            (ObjectForm::Table, Some(columns)) => self.table(columns, object, now, &mut compact),
            (ObjectForm::PartialMetadata, _) => table::encode_metadata(object, meta_version, &mut compact),
            _ => table::encode_object(object, self.api.name, &mut compact),
        }
        let message = if form == ObjectForm::PartialMetadata { &PARTIAL_OBJECT_METADATA } else { T::MESSAGE };
        frame::frame(self.format.media, r#type, message, &compact)
    }

    /// The event that ends the watch.
    ///
    /// # Errors
    /// As for [`EventEncoder::event`].
    pub(super) fn error(&self, status: &Status) -> Result<Bytes, Status> {
        let mut compact = Vec::with_capacity(256);
        json::encode_behind(br#"{"kind":"Status","apiVersion":"v1""#, status, &mut compact);
        frame::frame(self.format.media, WatchEventType::Error, &STATUS, &compact)
    }

    /// Appends a table of one row.
    fn table(&self, columns: &'static Columns<T>, object: &T, now: Time, out: &mut Vec<u8>) {
        let EventFormat { meta_version, include, definitions, .. } = self.format;
        let rows = TableEncoder { columns, include, meta_version, group_version: self.api.name, now };
        let resource_version = object.metadata().resource_version.clone();
        let definitions = rows.definitions().filter(|_| definitions == ColumnDefinitions::Included);
        rows.head(&ListMeta { resource_version, ..ListMeta::default() }, definitions, out);
        out.push(b'[');
        rows.row(object, out);
        out.extend_from_slice(b"]}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ImageStream;
    use crate::endpoints::table::Column;
    use crate::registry::watch::tests::{StreamReader, put};
    use crate::registry::watch::{CachedEvent, EventType};

    const API: GroupVersion = GroupVersion { group: "g", name: "g/v1", version: "v1", kinds: &["ImageStream"] };
    static COLUMNS: Columns<ImageStream> = Columns {
        definitions: &[Column { name: "Name", r#type: "string", format: "name", description: "", priority: 0 }],
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

    fn written(
        change: &CachedEvent<ImageStream>,
        r#type: EventType,
        encoder: &EventEncoder<ImageStream>,
        now: Time,
    ) -> Bytes {
        let encode = |object: &ImageStream| encoder.event(r#type.into(), object, now);
        change.encoded(r#type, encoder.encoding(), &StreamReader, encode).unwrap()
    }

    #[test]
    fn an_event_is_written_once_a_style_whoever_sees_it() {
        let change = CachedEvent::new(put("s", 7));
        let now = Time::from_unix_seconds(0);
        let written = |encoder: &EventEncoder<_>, r#type: EventType| written(&change, r#type, encoder, now);
        let json = encoder(ObjectForm::Object, Media::Json { pretty: false });
        let first = written(&json, EventType::Added);
        assert_eq!(first.as_ptr(), written(&json, EventType::Added).as_ptr());
        assert_ne!(first, written(&json, EventType::Modified));
        let partial = written(&encoder(ObjectForm::PartialMetadata, Media::Json { pretty: false }), EventType::Added);
        assert!(partial.starts_with(br#"{"type":"ADDED","object":{"kind":"PartialObjectMetadata""#));
        assert_ne!(written(&encoder(ObjectForm::Object, Media::Protobuf), EventType::Added), first);
    }

    #[test]
    fn a_change_keeps_few_of_the_ways_in_which_it_is_written() {
        let change = CachedEvent::new(put("s", 7));
        let written = |form, r#type: EventType| {
            let encoder = encoder(form, Media::Json { pretty: false });
            written(&change, r#type, &encoder, Time::from_unix_seconds(0))
        };
        let first = written(ObjectForm::Object, EventType::Added);
        written(ObjectForm::Object, EventType::Modified);
        written(ObjectForm::PartialMetadata, EventType::Added);
        written(ObjectForm::PartialMetadata, EventType::Modified);
        assert_eq!(first.as_ptr(), written(ObjectForm::Object, EventType::Added).as_ptr());
        written(ObjectForm::Table, EventType::Added);
        let again = written(ObjectForm::Object, EventType::Added);
        assert!(first.as_ptr() != again.as_ptr() && first == again);
    }

    #[test]
    fn only_the_first_table_says_what_its_columns_are() {
        let mut table = encoder(ObjectForm::Table, Media::Json { pretty: false });
        let stream = ImageStream::default();
        let event =
            |table: &EventEncoder<_>| table.event(WatchEventType::Added, &stream, Time::from_unix_seconds(0)).unwrap();
        let has = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
        assert!(has(&event(&table), r#""columnDefinitions":[{"name":"Name""#));
        table.note_event();
        assert!(has(&event(&table), r#""columnDefinitions":null"#));
    }
}
