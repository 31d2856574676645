//! Tables, as `kubectl get` asks for them.

use serde::Serialize;
use serde_json::Value;

use crate::endpoints::context::RequestContext;
use crate::machinery::json;
use crate::meta::{Kind, ListMeta, Status, Time, field};

/// How a kind looks in a table: the columns, and what of an object stands in them.
#[derive(Debug)]
pub struct Columns<T> {
    /// The columns, from left to right.
    pub definitions: &'static [Column],
    /// One cell a column, for an object at a time.
    pub cells: fn(&T, Time) -> Vec<Value>,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// Type of the cells, in the terms of OpenAPI.
    pub r#type: &'static str,
    /// Format of the cells; `name` marks the column that holds the object's name.
    pub format: &'static str,
    /// What the column shows.
    pub description: &'static str,
    /// 0 for what is always shown, more for what only wide output shows.
    pub priority: u8,
}

/// What stands beside the cells of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    /// The object's metadata.
    Metadata,
    /// The object.
    Object,
    /// Nothing.
    None,
}

/// How the objects of an answer become rows of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableEncoder<T: 'static> {
    /// What stands in the cells.
    pub(crate) columns: &'static Columns<T>,
    /// What stands beside them.
    pub(crate) include: IncludeObject,
    /// The version that tables and metadata are written in.
    pub(crate) meta_version: &'static str,
    /// The version that objects are written in.
    pub(crate) group_version: &'static str,
    /// What ages are counted to.
    pub(crate) now: Time,
}

impl<T: Kind> TableEncoder<T> {
    /// The rows that a request wants.
    ///
    /// # Errors
    /// 400 for an unknown value of the parameter `includeObject`.
    pub(crate) fn new(
        cx: &RequestContext,
        columns: &'static Columns<T>,
        group_version: &'static str,
    ) -> Result<Self, Status> {
        let meta_version = cx.representation.meta_version;
        Ok(Self { columns, include: include_object(cx)?, meta_version, group_version, now: cx.actor.now })
    }

    /// What the columns are.
    pub(crate) fn definitions(&self) -> Option<&'static [Column]> {
        Some(self.columns.definitions)
    }

    /// Appends the compact JSON of a table up to its list of rows, with what the columns are unless that is known.
    pub(crate) fn head(&self, metadata: &ListMeta, definitions: Option<&[Column]>, out: &mut Vec<u8>) {
        let head = format!(r#"{{"kind":"Table","apiVersion":"meta.k8s.io/{}","metadata":"#, self.meta_version);
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

/// The compact JSON of a table with one object, without a final newline.
///
/// # Errors
/// 400 for an unknown value of the parameter `includeObject`.
pub fn encode<T: Kind>(
    cx: &RequestContext,
    columns: &'static Columns<T>,
    metadata: &ListMeta,
    object: &T,
    group_version: &'static str,
) -> Result<Vec<u8>, Status> {
    let rows = TableEncoder::new(cx, columns, group_version)?;
    let mut out = Vec::with_capacity(2048);
    rows.head(metadata, rows.definitions(), &mut out);
    out.push(b'[');
    rows.row(object, &mut out);
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// Appends an object with its kind and version in front.
pub fn encode_object<T: Kind>(object: &T, group_version: &str, out: &mut Vec<u8>) {
    let head = format!(r#"{{"kind":"{}","apiVersion":"{group_version}""#, T::KIND);
    json::encode_behind(head.as_bytes(), object, out);
}

/// Appends the metadata of an object, as an object of its own.
pub fn encode_metadata<T: Kind>(object: &T, meta_version: &str, out: &mut Vec<u8>) {
    let head = format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{meta_version}","metadata":"#);
    out.extend_from_slice(head.as_bytes());
    json::encode_into(object.metadata(), out);
    out.push(b'}');
}

/// 406: the answer has another form than the wanted one.
pub(crate) fn wrong_form(asked: &str, is: &str, kind: &str) -> Status {
    let text = format!("you requested {asked}, but the requested object is {is} (*image.{kind})");
    Status::failure(406, "NotAcceptable", text)
}

/// A table was agreed upon for a kind that has none, which cannot be.
pub(crate) fn no_columns() -> Status {
    Status::hidden("a table was agreed upon for a kind that has none")
}

/// What the request wants to have beside the cells.
///
/// # Errors
/// 400 for an unknown value of the parameter `includeObject`.
pub(crate) fn include_object(cx: &RequestContext) -> Result<IncludeObject, Status> {
    match cx.query.get("includeObject").unwrap_or_default() {
        "" | "Metadata" => Ok(IncludeObject::Metadata),
        "Object" => Ok(IncludeObject::Object),
        "None" => Ok(IncludeObject::None),
        other => {
            let fault = field::Error::invalid("includeObject", other, "must be 'Metadata', 'Object', 'None', or empty");
            Err(Status::bad_request(format!("Unable to convert to Table as requested: {fault}")))
        }
    }
}

/// How long ago something was, in the words of Docker's tools; what lies ahead counts as now.
///
/// A time that is not set lies as far back as such a duration reaches, some 292 years.
pub fn age(now: Time, then: Option<Time>) -> String {
    const FURTHEST: i64 = i64::MAX / 1_000_000_000;
    let seconds = then.map_or(FURTHEST, |then| (now.unix_seconds() - then.unix_seconds()).min(FURTHEST));
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
        age(Time::from_unix_seconds(2_000_000_000), Some(Time::from_unix_seconds(2_000_000_000 - seconds)))
    }

    #[test]
    fn ages_are_told_as_docker_does() {
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
