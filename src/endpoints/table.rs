//! Tables, the form that `kubectl get` prints.

use serde::Serialize;
use serde_json::Value;

use crate::endpoints::context::RequestContext;
use crate::machinery::json;
use crate::meta::{Kind, ListMeta, Status, Time, field};

/// The columns of a kind.
#[derive(Debug)]
pub struct Columns<T> {
    /// The definitions, from left to right.
    pub definitions: &'static [Column],
    /// The cells of an object, one per column. Ages are relative to the given time.
    pub cells: fn(&T, Time) -> Vec<Value>,
}

/// The definition of a column (`TableColumnDefinition` of `meta/v1`).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Column {
    /// Name in the heading.
    pub name: &'static str,
    /// OpenAPI type of the cells.
    pub r#type: &'static str,
    /// OpenAPI format of the cells. `name` marks the column with the name of the object.
    pub format: &'static str,
    /// Description of the column.
    pub description: &'static str,
    /// 0 for a column that is always shown, greater for one of wide output.
    pub priority: u8,
}

/// The object in a row, beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    /// The metadata of the object.
    Metadata,
    /// The whole object.
    Object,
    /// No object.
    None,
}

/// An encoder for tables, row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableEncoder<T: 'static> {
    /// The columns.
    pub(crate) columns: &'static Columns<T>,
    /// The object in each row.
    pub(crate) include: IncludeObject,
    /// The version of `meta.k8s.io` for tables and metadata.
    pub(crate) meta_version: &'static str,
    /// The API version of the objects.
    pub(crate) group_version: &'static str,
    /// The time to which ages are relative.
    pub(crate) now: Time,
}

impl<T: Kind> TableEncoder<T> {
    /// An encoder for the response to a request.
    ///
    /// # Errors
    /// 400 for an invalid `includeObject`.
    pub(crate) fn new(
        cx: &RequestContext,
        columns: &'static Columns<T>,
        group_version: &'static str,
    ) -> Result<Self, Status> {
        let meta_version = cx.representation.meta_version;
        Ok(Self {
            columns,
            include: include_object(cx)?,
            meta_version,
            group_version,
            now: cx.actor.now,
        })
    }

    /// The definitions of the columns.
    pub(crate) fn definitions(&self) -> Option<&'static [Column]> {
        Some(self.columns.definitions)
    }

    /// Appends the compact JSON of a table up to its rows. `definitions` is none in all but the
    /// first event of a watch.
    pub(crate) fn begin(
        &self,
        metadata: &ListMeta,
        definitions: Option<&[Column]>,
        out: &mut Vec<u8>,
    ) {
        let head = format!(
            r#"{{"kind":"Table","apiVersion":"meta.k8s.io/{}","metadata":"#,
            self.meta_version
        );
        out.extend_from_slice(head.as_bytes());
        json::encode_into(metadata, out);
        out.extend_from_slice(br#","columnDefinitions":"#);
        json::encode_into(&definitions, out);
        out.extend_from_slice(br#","rows":"#);
    }

    /// Appends the row of an object.
    pub(crate) fn row(&self, object: &T, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"cells":"#);
        json::encode_into(&(self.columns.cells)(object, self.now), out);
        out.extend_from_slice(br#","object":"#);
        match self.include {
            IncludeObject::Metadata => encode_metadata(object, self.meta_version, out),
            IncludeObject::Object => encode_object(object, self.group_version, out),
            IncludeObject::None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
}

/// Encodes a table with one object as compact JSON, without a final newline.
///
/// # Errors
/// 400 for an invalid `includeObject`.
pub fn encode_table<T: Kind>(
    cx: &RequestContext,
    columns: &'static Columns<T>,
    metadata: &ListMeta,
    object: &T,
    group_version: &'static str,
) -> Result<Vec<u8>, Status> {
    let rows = TableEncoder::new(cx, columns, group_version)?;
    let mut out = Vec::with_capacity(2048);
    rows.begin(metadata, rows.definitions(), &mut out);
    out.push(b'[');
    rows.row(object, &mut out);
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// Appends an object, beginning with its kind and version.
pub fn encode_object<T: Kind>(object: &T, group_version: &str, out: &mut Vec<u8>) {
    let head = format!(r#"{{"kind":"{}","apiVersion":"{group_version}""#, T::KIND);
    json::encode_behind(head.as_bytes(), object, out);
}

/// Appends the metadata of an object as `PartialObjectMetadata`.
pub fn encode_metadata<T: Kind>(object: &T, meta_version: &str, out: &mut Vec<u8>) {
    let head = format!(
        r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{meta_version}","metadata":"#
    );
    out.extend_from_slice(head.as_bytes());
    json::encode_into(object.metadata(), out);
    out.push(b'}');
}

/// 406 for a form that a response does not have (`asPartialObjectMetadata` in
/// k8s.io/apiserver/pkg/endpoints/handlers/response.go).
pub(crate) fn wrong_form(requested: &str, actual: &str, kind: &str) -> Status {
    let text =
        format!("you requested {requested}, but the requested object is {actual} (*image.{kind})");
    Status::failure(406, "NotAcceptable", text)
}

/// 500 for a table of a kind without columns. Negotiation excludes it.
pub(crate) fn no_columns() -> Status {
    Status::hidden("a table was negotiated for a kind without columns")
}

/// Reads the parameter `includeObject` (`ValidateTableOptions` in
/// k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go).
///
/// # Errors
/// 400 for an invalid value.
pub(crate) fn include_object(cx: &RequestContext) -> Result<IncludeObject, Status> {
    match cx.query.get("includeObject").unwrap_or_default() {
        "" | "Metadata" => Ok(IncludeObject::Metadata),
        "Object" => Ok(IncludeObject::Object),
        "None" => Ok(IncludeObject::None),
        other => {
            let error = field::Error::invalid(
                "includeObject",
                other,
                "must be 'Metadata', 'Object', 'None', or empty",
            );
            Err(Status::bad_request(format!("Unable to convert to Table as requested: {error}")))
        }
    }
}

/// The age of a time in words (`HumanDuration` in github.com/docker/go-units). A time in the future
/// has age 0; an unset time has the age of Go's longest duration, some 292 years.
pub fn age(now: Time, then: Option<Time>) -> String {
    const LONGEST_SECONDS: i64 = i64::MAX / 1_000_000_000;
    let seconds = then.map_or(LONGEST_SECONDS, |then| {
        (now.unix_seconds() - then.unix_seconds()).min(LONGEST_SECONDS)
    });
    let (minutes, hours, rounded) = (seconds / 60, seconds / 3600, (seconds + 1800) / 3600);
    let text = match seconds {
        ..1 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".into(),
        120..3600 => format!("{minutes} minutes"),
        _ => match rounded {
            ..2 => "About an hour".into(),
            2..48 => format!("{rounded} hours"),
            48..336 => format!("{} days", rounded / 24),
            336..1440 => format!("{} weeks", rounded / 168),
            1440..17520 => format!("{} months", rounded / 720),
            _ => format!("{} years", hours / 24 / 365),
        },
    };
    format!("{text} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(seconds: i64) -> String {
        age(
            Time::from_unix_seconds(2_000_000_000),
            Some(Time::from_unix_seconds(2_000_000_000 - seconds)),
        )
    }

    #[test]
    fn ages_have_the_texts_of_go_units() {
        let expected = [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5399, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (15 * 86400, "2 weeks"),
            (90 * 86400, "3 months"),
            (3 * 365 * 86400, "3 years"),
        ];
        for (seconds, text) in expected {
            assert_eq!(ago(seconds), format!("{text} ago"));
        }
        assert_eq!(age(Time::from_unix_seconds(0), None), "292 years ago");
    }
}
