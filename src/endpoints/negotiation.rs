//! Which representation the client gets, in the two layers that clients of Kubernetes know.
//!
//! The first layer wants an exact media type or `*/*` and ignores parameters; the second one understands quality,
//! wildcards and the parameters `as`, `v`, `g` and `pretty`. Each refuses with a text of its own.

use http::{HeaderMap, HeaderValue, header};

use crate::machinery::media_type::{self, MediaRange};
use crate::machinery::protobuf;
use crate::machinery::query::Query;
use crate::meta::Status;

/// The media types of answers that this server writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`.
    Json {
        /// Indented for people.
        pretty: bool,
    },
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

impl Media {
    /// What stands in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json { .. } => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => protobuf::MEDIA_TYPE,
        }
    }
}

/// What of an object the client wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectForm {
    /// The object itself.
    Object,
    /// A table for people.
    Table,
    /// Only the metadata of one object.
    PartialMetadata,
    /// Only the metadata of the objects of a list.
    PartialMetadataList,
}

/// A representation that was agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Representation {
    /// How it is written.
    pub media: Media,
    /// What is written.
    pub form: ObjectForm,
    /// The version of `meta.k8s.io` that tables and metadata are written in.
    pub meta_version: &'static str,
}

/// What a resource can be shown as besides itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupportedForms {
    /// Nothing else: errors, discovery and kinds that have neither table nor metadata.
    ObjectOnly,
    /// Metadata only.
    Metadata,
    /// Metadata only and a table.
    Tabular,
}

/// What a request says about the representation that it wants.
#[derive(Clone, Copy, Debug)]
pub struct Accept<'a> {
    /// The first `Accept` line; further ones do not count.
    accept: &'a str,
    pretty: Pretty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pretty {
    Yes,
    No,
}

const AVAILABLE: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const STREAMED: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
const ROUTABLE: [&str; 4] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "*/*"];

impl<'a> Accept<'a> {
    /// Reads the headers and the parameter `pretty`.
    pub fn new(headers: &'a HeaderMap, query: &Query) -> Self {
        Self::from_values(headers.get(header::ACCEPT), headers.get(header::USER_AGENT), query)
    }

    /// The same from the values of `Accept` and `User-Agent`.
    pub fn from_values(accept: Option<&'a HeaderValue>, agent: Option<&HeaderValue>, query: &Query) -> Self {
        let agent = agent.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_pretty = match query.get("pretty") {
            None | Some("") => ["curl", "Wget", "Mozilla/5.0"].iter().any(|start| agent.starts_with(start)),
            Some(value) => matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True"),
        };
        let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { accept, pretty: if is_pretty { Pretty::Yes } else { Pretty::No } }
    }

    /// The representation of an answer.
    ///
    /// # Errors
    /// 406 with the text of the layer that refuses.
    pub fn negotiate(&self, forms: SupportedForms) -> Result<Representation, Status> {
        self.check_route(&[AVAILABLE])?;
        self.best(forms).ok_or_else(|| only(AVAILABLE))
    }

    /// The representation of an answer that shares its path with events.
    ///
    /// # Errors
    /// As for [`Accept::negotiate`].
    pub fn negotiate_list(&self, forms: SupportedForms) -> Result<Representation, Status> {
        self.check_route(&[AVAILABLE, STREAMED])?;
        self.negotiate(forms)
    }

    /// The representation of events, which are written one after the other: never as YAML, and never for people.
    ///
    /// # Errors
    /// As for [`Accept::negotiate`].
    pub fn negotiate_watch(&self, forms: SupportedForms) -> Result<Representation, Status> {
        self.check_route(&[AVAILABLE, STREAMED])?;
        let best = self.best(forms).ok_or_else(|| only(AVAILABLE))?;
        let media = match best.media {
            Media::Yaml => return Err(only(STREAMED)),
            Media::Json { .. } => Media::Json { pretty: false },
            Media::Protobuf => Media::Protobuf,
        };
        Ok(Representation { media, ..best })
    }

    /// How an error is written: as the client wants it, or indented JSON where that cannot be had.
    pub fn error_media(&self) -> Media {
        self.best(SupportedForms::ObjectOnly)
            .map_or(Media::Json { pretty: true }, |representation| representation.media)
    }

    /// The first layer, which tells what is `available`.
    fn check_route(&self, available: &[&str]) -> Result<(), Status> {
        let accept = self.accept.trim();
        if accept.is_empty() || accept.split(',').any(|clause| ROUTABLE.contains(&media_type::essence(clause))) {
            return Ok(());
        }
        let text = format!("406: Not Acceptable\n\nAvailable representations: {}", available.join(", "));
        Err(Status::failure(406, "NotAcceptable", text).with_details(Default::default()))
    }

    /// The second layer: the clause of the highest quality that can be met, the more exact one before the less exact.
    fn best(&self, forms: SupportedForms) -> Option<Representation> {
        if self.accept.trim().is_empty() {
            return Some(Representation { media: self.json(None), form: ObjectForm::Object, meta_version: "v1" });
        }
        let clauses = self.accept.split(',').filter_map(MediaRange::parse);
        let met = clauses.filter_map(|clause| Some((clause.rank(), self.meet(&clause, forms)?)));
        // Of those of the same rank the first counts.
        let best = met.reduce(|best, other| if other.0 > best.0 { other } else { best });
        best.map(|(_, representation)| representation)
    }

    fn meet(&self, clause: &MediaRange<'_>, forms: SupportedForms) -> Option<Representation> {
        let media = match (clause.kind, clause.subtype) {
            ("*", "*") | ("application", "*" | "json") => self.json(clause.parameter("pretty")),
            ("application", "yaml") => Media::Yaml,
            ("application", "vnd.kubernetes.protobuf") => Media::Protobuf,
            _ => return None,
        };
        let is_stream = match clause.parameter("stream") {
            None => true,
            Some("watch") => media != Media::Yaml,
            Some(_) => false,
        };
        if !is_stream || clause.parameter("sv").is_some() {
            return None;
        }
        let [form, group, version] = ["as", "g", "v"].map(|name| clause.parameter(name));
        if (form, group, version) == (None, None, None) {
            return Some(Representation { media, form: ObjectForm::Object, meta_version: "v1" });
        }
        let meta_version = match (group, version) {
            (Some("meta.k8s.io"), Some("v1beta1")) => "v1beta1",
            (Some("meta.k8s.io"), Some("v1")) => "v1",
            _ => return None,
        };
        let form = match form {
            _ if forms == SupportedForms::ObjectOnly => return None,
            // There are no tables in protobuf.
            Some("Table") if forms == SupportedForms::Tabular && media != Media::Protobuf => ObjectForm::Table,
            Some("PartialObjectMetadata") => ObjectForm::PartialMetadata,
            Some("PartialObjectMetadataList") => ObjectForm::PartialMetadataList,
            _ => return None,
        };
        Some(Representation { media, form, meta_version })
    }

    fn json(&self, parameter: Option<&str>) -> Media {
        Media::Json { pretty: self.pretty == Pretty::Yes || parameter == Some("1") }
    }
}

/// The refusal of the second layer.
fn only(accepted: &str) -> Status {
    Status::failure(406, "NotAcceptable", format!("only the following media types are accepted: {accepted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(accept: &str, query: &str, agent: &str) -> Result<Representation, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        headers.insert(header::USER_AGENT, HeaderValue::from_str(agent).unwrap());
        Accept::new(&headers, &Query::parse(Some(query)))
            .negotiate(SupportedForms::Tabular)
            .map_err(|status| status.message)
    }

    #[test]
    fn a_kind_without_a_table_can_be_shown_as_metadata() {
        let agree = |r#as: &str, forms| {
            let accept = format!("application/json;as={as};g=meta.k8s.io;v=v1", r#as = r#as);
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(&accept).unwrap());
            Accept::new(&headers, &Query::parse(None)).negotiate(forms).ok().map(|representation| representation.form)
        };
        assert_eq!(agree("PartialObjectMetadata", SupportedForms::Metadata), Some(ObjectForm::PartialMetadata));
        assert_eq!(agree("Table", SupportedForms::Metadata), None);
        assert_eq!(agree("PartialObjectMetadata", SupportedForms::ObjectOnly), None);
    }

    fn media(accept: &str) -> Media {
        agree(accept, "", "x").unwrap().media
    }

    #[test]
    fn quality_and_exactness_decide() {
        assert_eq!(media("application/json;q=0.1, application/yaml"), Media::Yaml);
        assert_eq!(media("application/yaml;q=0.5,*/*;q=0.1"), Media::Yaml);
        assert_eq!(media("text/html, application/json;foo=bar"), Media::Json { pretty: false });
        assert_eq!(media("*/*;q=0.51, application/yaml;q=0.50"), Media::Json { pretty: false });
        assert_eq!(media("application/json;q=0"), Media::Json { pretty: false });
        assert_eq!(media("application/yaml;q=abc,application/json"), Media::Json { pretty: false });
        assert_eq!(media("application/vnd.kubernetes.protobuf,application/json"), Media::Protobuf);
        assert_eq!(
            media("application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
            Media::Protobuf
        );
        assert_eq!(media(""), Media::Json { pretty: false });
    }

    #[test]
    fn each_layer_refuses_in_its_own_words() {
        assert!(agree("application/*", "", "x").unwrap_err().starts_with("406: Not Acceptable"));
        assert!(agree("APPLICATION/JSON", "", "x").unwrap_err().starts_with("406: Not Acceptable"));
        let bogus = agree("application/json;as=Bogus;v=v1;g=meta.k8s.io", "", "x").unwrap_err();
        assert!(bogus.starts_with("only the following"));
    }

    #[test]
    fn who_asks_for_a_form_must_name_it_in_full() {
        for parameters in ["v=v1", "g=meta.k8s.io;v=v9", "as=;v=v1;g=meta.k8s.io", "stream=foo", "sv=1"] {
            let told = agree(&format!("application/json;{parameters}"), "", "x").unwrap_err();
            assert!(told.starts_with("only the following"), "{parameters}: {told}");
        }
        assert!(agree("application/yaml;stream=watch", "", "x").is_err());
        assert_eq!(media("application/json;stream=watch;as=;q"), Media::Json { pretty: false });
    }

    #[test]
    fn a_list_that_can_be_watched_tells_of_events_too() {
        let accept = Accept { accept: "text/html", pretty: Pretty::No };
        let told = accept.negotiate_list(SupportedForms::Tabular).unwrap_err().message;
        assert!(told.ends_with("application/vnd.kubernetes.protobuf;stream=watch"), "{told}");
        let accept = Accept { accept: "application/yaml,application/json", pretty: Pretty::No };
        let told = accept.negotiate_watch(SupportedForms::Tabular).unwrap_err().message;
        assert!(told.starts_with("only the following media types are accepted: application/json;stream"), "{told}");
        let accept = Accept { accept: "application/json;stream=foo", pretty: Pretty::No };
        let told = accept.negotiate_watch(SupportedForms::Tabular).unwrap_err().message;
        assert!(
            told.ends_with("accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"),
            "{told}"
        );
    }

    #[test]
    fn a_clause_that_cannot_be_met_falls_through() {
        let table = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json";
        let agreed = agree(table, "", "x").unwrap();
        assert_eq!((agreed.media, agreed.form), (Media::Json { pretty: false }, ObjectForm::Object));
        let table = "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(agree(table, "", "x").unwrap().form, ObjectForm::Table);
    }

    #[test]
    fn people_get_indentation() {
        let pretty = |accept, query, agent| agree(accept, query, agent).unwrap().media == Media::Json { pretty: true };
        assert!(pretty("*/*", "", "curl/8") && pretty("*/*", "pretty=", "Wget") && pretty("*/*", "pretty=T", "x"));
        assert!(pretty("application/json;pretty=1", "", "x") && pretty("*/*", "", "curlx"));
        assert!(!pretty("application/json;pretty=true", "", "x") && !pretty("*/*", "pretty=2", "curl/8"));
        assert!(!pretty("*/*", "", "xcurl") && !pretty("*/*", "pretty=0", "curl/8"));
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(accept in "[ -~]{0,60}") {
            let _ = agree(&accept, "", "");
        }
    }
}
