//! Lists of tags, which registries send in pages.

use http::{HeaderMap, header};
use reqwest::Url;
use serde::Deserialize;

use super::error::RegistryError;
use super::limits::{MAX_TAGS, cut};

#[derive(Deserialize)]
struct TagPage {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// Tags of several pages.
#[derive(Default)]
pub(super) struct TagPages {
    tags: Vec<String>,
}

impl TagPages {
    /// Adds a page. Overlong names are cut, so that each fails as an invalid tag of its own.
    ///
    /// # Errors
    /// A malformed page, and too many tags.
    pub(super) fn add(&mut self, body: &[u8]) -> Result<(), RegistryError> {
        let page: TagPage = serde_json::from_slice(body).map_err(|_| {
            RegistryError::Content("the tag list is not a JSON object with an array of tags".into())
        })?;
        let names = page.tags.unwrap_or_default();
        if self.tags.len() + names.len() > MAX_TAGS {
            return Err(RegistryError::TooLarge {
                what: "tag list",
                limit: MAX_TAGS,
                unit: "tags",
            });
        }
        self.tags.extend(names.iter().map(|name| cut(name)));
        Ok(())
    }

    pub(super) fn into_tags(self) -> Vec<String> {
        self.tags
    }
}

/// Returns the URL of the next page (RFC 8288) from the headers of a page at `url`.
///
/// The path and query of the link are used with the origin of the page: a proxy in front of a
/// registry may change scheme and port, and a registry must not choose another host.
///
/// # Errors
/// A link to another host.
pub(super) fn next_page(headers: &HeaderMap, url: &Url) -> Result<Option<Url>, RegistryError> {
    let values = headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
    let Some(target) =
        values.flat_map(links).find_map(|(target, is_next)| is_next.then_some(target))
    else {
        return Ok(None);
    };
    let error = |text: &str| RegistryError::Content(format!("the link to the next tags {text}"));
    let link = url.join(target).map_err(|_| error("is not a URL"))?;
    if link.host_str() != url.host_str() {
        return Err(error("leads to another host"));
    }
    let mut next = url.clone();
    next.set_path(link.path());
    next.set_query(link.query());
    Ok(Some(next))
}

/// The targets of a `Link` header. True if a target is the next page, which a link without any
/// relation is as well.
fn links(value: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        // The parameters end where the next target begins.
        let end = after.find('<').unwrap_or(after.len());
        let (parameters, next) = after.split_at(end);
        rest = next;
        Some((target, is_next(parameters)))
    })
}

fn is_next(parameters: &str) -> bool {
    let mut relations = parameters.split([';', ',']).filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches('"'))
    });
    relations.next().is_none_or(|value| value.split(' ').any(|it| it.eq_ignore_ascii_case("next")))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn next(link: &'static str) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LINK, HeaderValue::from_static(link));
        let url = Url::parse("https://r.io:5000/v2/a/tags/list?n=2").unwrap();
        let next = next_page(&headers, &url).map_err(|error| error.to_string())?;
        Ok(next.map(String::from))
    }

    #[test]
    fn link_is_followed_by_path_and_query() {
        let page = |query: &str| Ok(Some(format!("https://r.io:5000/v2/a/tags/list?{query}")));
        assert_eq!(next(r#"</v2/a/tags/list?last=b>; rel="next""#), page("last=b"));
        assert_eq!(next(r#"<http://r.io/v2/a/tags/list?last=b>; rel=next"#), page("last=b"));
        assert_eq!(next("<list?last=c>"), page("last=c"));
        let several = r#"<https://x.io/>; rel="help"; title="a", <?last=d>; rel="prev next""#;
        assert_eq!(next(several), page("last=d"));
        assert_eq!(next(r#"</v2/>; rel="prev""#), Ok(None));
        assert_eq!(next("nothing"), Ok(None));
    }

    #[test]
    fn link_to_another_host_is_refused() {
        for link in ["<https://evil.io/v2/a/tags/list>", "<//evil.io/x>; rel=next"] {
            assert_eq!(next(link).unwrap_err(), "the link to the next tags leads to another host");
        }
        assert!(next("<http://[>; rel=next").unwrap_err().ends_with("is not a URL"));
    }

    #[test]
    fn odd_names_are_kept_and_overlong_ones_cut() {
        let mut pages = TagPages::default();
        pages.add(br#"{"name":"a","tags":["a","a","","b c","v1"]}"#).unwrap();
        pages.add(br#"{"tags":null}"#).unwrap();
        let long = format!(r#"{{"tags":["{}"]}}"#, "t".repeat(100_000));
        pages.add(long.as_bytes()).unwrap();
        let tags = pages.into_tags();
        assert_eq!(tags[..5], ["a", "a", "", "b c", "v1"]);
        assert!(tags[5].len() < 300);
    }

    #[test]
    fn number_of_tags_is_limited() {
        let mut pages = TagPages::default();
        let names = vec!["t"; 60_000];
        let page = serde_json::json!({ "tags": names }).to_string();
        pages.add(page.as_bytes()).unwrap();
        let error = pages.add(page.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "the tag list is larger than the limit of 100000 tags");
        assert!(pages.add(b"[1]").is_err() && pages.add(b"<html>").is_err());
    }
}
