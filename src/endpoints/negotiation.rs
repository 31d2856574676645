//! Negotiation of the representation of a response.
//!
//! There are two layers, as in kube-apiserver, each with its own error text. The router
//! (github.com/emicklei/go-restful) requires a supported media type or `*/*` and ignores
//! parameters. The negotiation proper (`NegotiateMediaTypeOptions` in
//! k8s.io/apiserver/pkg/endpoints/handlers/negotiation/negotiate.go) evaluates quality, wildcards
//! and the parameters `as`, `v`, `g`, `pretty`, `stream` and `sv`.

use http::{HeaderMap, HeaderValue, header};

use crate::machinery::media_type::{self, MediaRange};
use crate::machinery::protobuf;
use crate::machinery::query::Query;
use crate::meta::Status;

/// A media type of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`.
    Json {
        /// Indented, for humans.
        pretty: bool,
    },
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

impl Media {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json { .. } => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => protobuf::MEDIA_TYPE,
        }
    }
}

/// The form in which objects are returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectForm {
    /// The object.
    Object,
    /// A `Table`, for humans.
    Table,
    /// `PartialObjectMetadata`: the metadata of one object.
    PartialMetadata,
    /// `PartialObjectMetadataList`: the metadata of the objects of a list.
    PartialMetadataList,
}

/// A negotiated representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Representation {
    /// The media type.
    pub media: Media,
    /// The form of the objects.
    pub form: ObjectForm,
    /// The version of `meta.k8s.io` for tables and metadata.
    pub meta_version: &'static str,
}

/// The forms that a resource supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupportedForms {
    /// The object only: errors, discovery, and kinds with neither columns nor metadata.
    ObjectOnly,
    /// The object and its metadata.
    Metadata,
    /// The object, its metadata and a table.
    Tabular,
}

/// The preferences of a client: `Accept`, the parameter `pretty` and `User-Agent`.
#[derive(Clone, Copy, Debug)]
pub struct Accept<'a> {
    /// The first `Accept` header. Further ones are ignored, as in Go's `Header.Get`.
    accept: &'a str,
    pretty: Pretty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pretty {
    Yes,
    No,
}

/// The media types of objects.
const AVAILABLE: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
/// The media types of watch events.
const STREAMED: &str =
    "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
/// The media types that pass the router.
const ROUTABLE: [&str; 4] =
    ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "*/*"];

impl<'a> Accept<'a> {
    /// Reads the preferences of a request.
    pub fn new(headers: &'a HeaderMap, query: &Query) -> Self {
        Self::from_values(headers.get(header::ACCEPT), headers.get(header::USER_AGENT), query)
    }

    /// Reads the preferences from the values of `Accept` and `User-Agent`. Indentation follows
    /// `isPrettyPrint` in negotiate.go.
    pub fn from_values(
        accept: Option<&'a HeaderValue>,
        agent: Option<&HeaderValue>,
        query: &Query,
    ) -> Self {
        let agent = agent.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_pretty = match query.get("pretty") {
            None | Some("") => {
                ["curl", "Wget", "Mozilla/5.0"].iter().any(|start| agent.starts_with(start))
            }
            Some(value) => matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True"),
        };
        let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { accept, pretty: if is_pretty { Pretty::Yes } else { Pretty::No } }
    }

    /// Negotiates the representation of an object.
    ///
    /// # Errors
    /// 406 with the text of the layer that finds no representation.
    pub fn negotiate(&self, forms: SupportedForms) -> Result<Representation, Status> {
        self.check_router(&[AVAILABLE])?;
        self.best(forms).ok_or_else(|| not_acceptable(AVAILABLE))
    }

    /// Negotiates the representation of a list that can be watched at the same path.
    ///
    /// # Errors
    /// As for [`Accept::negotiate`].
    pub fn negotiate_list(&self, forms: SupportedForms) -> Result<Representation, Status> {
        self.check_router(&[AVAILABLE, STREAMED])?;
        self.negotiate(forms)
    }

    /// Negotiates the representation of watch events, which are neither YAML nor indented.
    ///
    /// # Errors
    /// As for [`Accept::negotiate`].
    pub fn negotiate_watch(&self, forms: SupportedForms) -> Result<Representation, Status> {
        self.check_router(&[AVAILABLE, STREAMED])?;
        let best = self.best(forms).ok_or_else(|| not_acceptable(AVAILABLE))?;
        let media = match best.media {
            Media::Yaml => return Err(not_acceptable(STREAMED)),
            Media::Json { .. } => Media::Json { pretty: false },
            Media::Protobuf => Media::Protobuf,
        };
        Ok(Representation { media, ..best })
    }

    /// The media type of errors: the best one that the client accepts, else indented JSON.
    pub fn error_media(&self) -> Media {
        self.best(SupportedForms::ObjectOnly)
            .map_or(Media::Json { pretty: true }, |representation| representation.media)
    }

    /// The router. Its error lists the `available` media types.
    fn check_router(&self, available: &[&str]) -> Result<(), Status> {
        let accept = self.accept.trim();
        if accept.is_empty()
            || accept.split(',').any(|range| ROUTABLE.contains(&media_type::essence(range)))
        {
            return Ok(());
        }
        let text =
            format!("406: Not Acceptable\n\nAvailable representations: {}", available.join(", "));
        Err(Status::failure(406, "NotAcceptable", text).with_details(Default::default()))
    }

    /// The negotiation proper: the supported range with the highest quality. Wildcards come last
    /// among ranges of the same quality.
    fn best(&self, forms: SupportedForms) -> Option<Representation> {
        if self.accept.trim().is_empty() {
            return Some(Representation {
                media: self.json(None),
                form: ObjectForm::Object,
                meta_version: "v1",
            });
        }
        let ranges = self.accept.split(',').filter_map(MediaRange::parse);
        let supported =
            ranges.filter_map(|range| Some((range.rank(), self.resolve(&range, forms)?)));
        // The first one of several ranges of the same rank is used.
        let best = supported.reduce(|best, other| if other.0 > best.0 { other } else { best });
        best.map(|(_, representation)| representation)
    }

    /// The representation for a range; none if it is not supported.
    fn resolve(&self, range: &MediaRange<'_>, forms: SupportedForms) -> Option<Representation> {
        let media = match (range.kind, range.subtype) {
            ("*", "*") | ("application", "*" | "json") => self.json(range.parameter("pretty")),
            ("application", "yaml") => Media::Yaml,
            ("application", "vnd.kubernetes.protobuf") => Media::Protobuf,
            _ => return None,
        };
        let is_supported_stream = match range.parameter("stream") {
            None => true,
            Some("watch") => media != Media::Yaml,
            Some(_) => false,
        };
        if !is_supported_stream || range.parameter("sv").is_some() {
            return None;
        }
        let [form, group, version] = ["as", "g", "v"].map(|name| range.parameter(name));
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
            // Tables have no protobuf encoding here.
            Some("Table") if forms == SupportedForms::Tabular && media != Media::Protobuf => {
                ObjectForm::Table
            }
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

/// The error of the negotiation proper.
fn not_acceptable(accepted: &str) -> Status {
    Status::failure(
        406,
        "NotAcceptable",
        format!("only the following media types are accepted: {accepted}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(accept: &str, query: &str, agent: &str) -> Result<Representation, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        headers.insert(header::USER_AGENT, HeaderValue::from_str(agent).unwrap());
        Accept::new(&headers, &Query::parse(Some(query)))
            .negotiate(SupportedForms::Tabular)
            .map_err(|status| status.message)
    }

    #[test]
    fn a_kind_without_columns_has_its_metadata_only() {
        let negotiate = |r#as: &str, forms| {
            let accept = format!("application/json;as={as};g=meta.k8s.io;v=v1", r#as = r#as);
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(&accept).unwrap());
            Accept::new(&headers, &Query::parse(None))
                .negotiate(forms)
                .ok()
                .map(|representation| representation.form)
        };
        assert_eq!(
            negotiate("PartialObjectMetadata", SupportedForms::Metadata),
            Some(ObjectForm::PartialMetadata)
        );
        assert_eq!(negotiate("Table", SupportedForms::Metadata), None);
        assert_eq!(negotiate("PartialObjectMetadata", SupportedForms::ObjectOnly), None);
    }

    fn media(accept: &str) -> Media {
        negotiate(accept, "", "x").unwrap().media
    }

    #[test]
    fn quality_decides_before_exactness() {
        assert_eq!(media("application/json;q=0.1, application/yaml"), Media::Yaml);
        assert_eq!(media("application/yaml;q=0.5,*/*;q=0.1"), Media::Yaml);
        assert_eq!(media("text/html, application/json;foo=bar"), Media::Json { pretty: false });
        assert_eq!(media("*/*;q=0.51, application/yaml;q=0.50"), Media::Json { pretty: false });
        assert_eq!(media("application/json;q=0"), Media::Json { pretty: false });
        assert_eq!(media("application/yaml;q=abc,application/json"), Media::Json { pretty: false });
        assert_eq!(media("application/vnd.kubernetes.protobuf,application/json"), Media::Protobuf);
        assert_eq!(
            media(
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
            ),
            Media::Protobuf
        );
        assert_eq!(media(""), Media::Json { pretty: false });
    }

    #[test]
    fn each_layer_has_its_own_error_text() {
        assert!(
            negotiate("application/*", "", "x").unwrap_err().starts_with("406: Not Acceptable")
        );
        assert!(
            negotiate("APPLICATION/JSON", "", "x").unwrap_err().starts_with("406: Not Acceptable")
        );
        let bogus = negotiate("application/json;as=Bogus;v=v1;g=meta.k8s.io", "", "x").unwrap_err();
        assert!(bogus.starts_with("only the following"));
    }

    #[test]
    fn a_form_needs_kind_group_and_version() {
        for parameters in
            ["v=v1", "g=meta.k8s.io;v=v9", "as=;v=v1;g=meta.k8s.io", "stream=foo", "sv=1"]
        {
            let error = negotiate(&format!("application/json;{parameters}"), "", "x").unwrap_err();
            assert!(error.starts_with("only the following"), "{parameters}: {error}");
        }
        assert!(negotiate("application/yaml;stream=watch", "", "x").is_err());
        assert_eq!(media("application/json;stream=watch;as=;q"), Media::Json { pretty: false });
    }

    #[test]
    fn errors_of_watchable_lists_name_stream_types() {
        let accept = Accept { accept: "text/html", pretty: Pretty::No };
        let error = accept.negotiate_list(SupportedForms::Tabular).unwrap_err().message;
        assert!(error.ends_with("application/vnd.kubernetes.protobuf;stream=watch"), "{error}");
        let accept = Accept { accept: "application/yaml,application/json", pretty: Pretty::No };
        let error = accept.negotiate_watch(SupportedForms::Tabular).unwrap_err().message;
        assert!(
            error.starts_with(
                "only the following media types are accepted: application/json;stream"
            ),
            "{error}"
        );
        let accept = Accept { accept: "application/json;stream=foo", pretty: Pretty::No };
        let error = accept.negotiate_watch(SupportedForms::Tabular).unwrap_err().message;
        assert!(
            error.ends_with(
                "accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
            ),
            "{error}"
        );
    }

    #[test]
    fn an_unsupported_range_is_skipped() {
        let table =
            "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json";
        let representation = negotiate(table, "", "x").unwrap();
        assert_eq!(
            (representation.media, representation.form),
            (Media::Json { pretty: false }, ObjectForm::Object)
        );
        let table = "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(table, "", "x").unwrap().form, ObjectForm::Table);
    }

    #[test]
    fn humans_get_indented_json() {
        let pretty = |accept, query, agent| {
            negotiate(accept, query, agent).unwrap().media == Media::Json { pretty: true }
        };
        assert!(
            pretty("*/*", "", "curl/8")
                && pretty("*/*", "pretty=", "Wget")
                && pretty("*/*", "pretty=T", "x")
        );
        assert!(pretty("application/json;pretty=1", "", "x") && pretty("*/*", "", "curlx"));
        assert!(
            !pretty("application/json;pretty=true", "", "x")
                && !pretty("*/*", "pretty=2", "curl/8")
        );
        assert!(!pretty("*/*", "", "xcurl") && !pretty("*/*", "pretty=0", "curl/8"));
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(accept in "[ -~]{0,60}") {
            let _ = negotiate(&accept, "", "");
        }
    }
}
