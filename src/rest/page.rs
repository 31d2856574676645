//! Lists in pages: the options of a list and the token that continues it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::query::Query;
use crate::meta::{Resource, Status, field};
use crate::store::{At, Revision};

/// Where a list begins, at which revision, and how much of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The revision to look at.
    pub at: At,
    /// The list must not be older than this.
    pub at_least: Revision,
    /// The key to begin with, without the list's prefix.
    pub start: Option<String>,
    /// How many objects at most; 0 for all.
    pub limit: usize,
}

/// What a continue token holds; clients must not look inside.
#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: u64,
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Options {
    /// Reads the options of a list.
    ///
    /// # Errors
    /// 400 for values that cannot be read, 422 for such that do not go together.
    pub fn read(query: &Query) -> Result<Self, Status> {
        let text = |name| query.get(name).unwrap_or_default();
        let (version_text, token) = (text("resourceVersion"), text("continue"));
        let exactness = read_match(text("resourceVersionMatch"), version_text, token)?;
        if query.get("sendInitialEvents").is_some_and(|value| !value.is_empty()) {
            return Err(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        query.integer("timeoutSeconds")?;
        let limit = usize::try_from(query.integer("limit")?.unwrap_or_default()).unwrap_or_default();
        let version = read_version(version_text)?.unwrap_or_default();
        if !token.is_empty() {
            if version != Revision(0) {
                return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
            }
            let token = read_token(token)?;
            let at = At::Revision(Revision(token.rv));
            return Ok(Self { at, at_least: Revision(0), start: Some(token.start), limit });
        }
        let is_any = !version_text.is_empty() && version == Revision(0);
        Ok(Self {
            at: if exactness == Match::Exact { At::Revision(version) } else { At::Now },
            at_least: version,
            start: None,
            // A list of any age comes whole, as from the reference's cache.
            limit: if is_any { 0 } else { limit },
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    NotOlderThan,
    Exact,
}

/// The parameter `resourceVersionMatch`, which must go with the others.
fn read_match(text: &str, version: &str, token: &str) -> Result<Match, Status> {
    const NAME: &str = "resourceVersionMatch";
    match text {
        "" => Ok(Match::NotOlderThan),
        _ if !token.is_empty() => Err(forbidden(NAME, "resourceVersionMatch is forbidden when continue is provided")),
        _ if version.is_empty() => {
            Err(forbidden(NAME, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        }
        "Exact" if version == "0" => {
            Err(forbidden(NAME, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""))
        }
        "Exact" => Ok(Match::Exact),
        "NotOlderThan" => Ok(Match::NotOlderThan),
        other => Err(invalid(field::Error::unsupported(NAME, other, &["Exact", "NotOlderThan", ""]))),
    }
}

fn forbidden(name: &str, why: &str) -> Status {
    invalid(field::Error::forbidden(name, why))
}

fn invalid(fault: field::Error) -> Status {
    invalid_options(&[fault])
}

/// 422 for options of a list or a watch that do not go together.
pub(super) fn invalid_options(faults: &[field::Error]) -> Status {
    Status::invalid(Resource { group: "meta.k8s.io", name: "ListOptions" }, "", faults)
}

/// The token that continues a list behind the key `last`, which stands without the list's prefix.
pub fn token(revision: Revision, last: &str) -> String {
    let token = Token { v: TOKEN_VERSION.into(), rv: revision.0, start: format!("{last}\0") };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("a token is plain data"))
}

fn read_version(text: &str) -> Result<Option<Revision>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let refuse = |why| Status::bad_request(format!("invalid resource version: {why}"));
    parse_version(text).map(Some).map_err(refuse)
}

/// Refuses a read of one object at a version that is none. Which version it is does not matter: every read is as fresh as the store.
///
/// # Errors
/// That 400.
pub fn check_version(query: &Query) -> Result<(), Status> {
    match query.get("resourceVersion") {
        None | Some("") => Ok(()),
        Some(text) => parse_version(text).map(drop).map_err(Status::bad_request),
    }
}

/// The revision that a resourceVersion names.
///
/// # Errors
/// A sentence for the client.
pub(super) fn parse_version(text: &str) -> Result<Revision, String> {
    text.parse().map(Revision).map_err(|_| {
        let shown = field::quote(text);
        format!("resourceVersion: Invalid value: {shown}: strconv.ParseUint: parsing {shown}: invalid syntax")
    })
}

fn read_token(text: &str) -> Result<Token, Status> {
    let refuse = |why: String| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|why| refuse(why.to_string()))?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|why| refuse(why.to_string()))?;
    if token.v != TOKEN_VERSION {
        let why = format!("server does not recognize this encoded version {}", token.v);
        return Err(Status::bad_request(format!("invalid continue token: continue key is not valid: {why}")));
    }
    if token.start.is_empty() || token.start.split('/').any(|segment| segment == "..") {
        return Err(refuse(token.start));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_where_the_list_was_cut() {
        let query = Query::parse(Some(&format!("limit=5&continue={}", token(Revision(7), "ns/a"))));
        let expected =
            Options { at: At::Revision(Revision(7)), at_least: Revision(0), start: Some("ns/a\0".into()), limit: 5 };
        assert_eq!(Options::read(&query).unwrap(), expected);
    }

    #[test]
    fn version_0_means_everything() {
        let options = Options::read(&Query::parse(Some("limit=5&resourceVersion=0"))).unwrap();
        assert_eq!(options, Options { at: At::Now, at_least: Revision(0), start: None, limit: 0 });
    }

    proptest::proptest! {
        #[test]
        fn no_token_panics(token in ".*", version in ".*") {
            let _ = (read_token(&token), read_version(&version));
        }
    }
}
