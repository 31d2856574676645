//! Lists in pages: the options of a list and the token that continues it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::query::Query;
use crate::meta::Status;
use crate::store::{At, Revision};

/// Where a list begins, at which revision, and how much of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The revision to look at.
    pub at: At,
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
    /// 400 for values that cannot be read.
    pub fn read(query: &Query) -> Result<Self, Status> {
        let version = read_version(query.get("resourceVersion").unwrap_or_default())?;
        let token = query.get("continue").unwrap_or_default();
        let mut limit = usize::try_from(query.integer("limit")?.unwrap_or_default()).unwrap_or_default();
        if !token.is_empty() {
            if version.is_some_and(|version| version != 0) {
                return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
            }
            let token = read_token(token)?;
            return Ok(Self { at: At::Revision(Revision(token.rv)), start: Some(token.start), limit });
        }
        if version == Some(0) {
            limit = 0;
        }
        let at = match (version, query.get("resourceVersionMatch")) {
            (Some(version), Some("Exact")) => At::Revision(Revision(version)),
            _ => At::Now,
        };
        Ok(Self { at, start: None, limit })
    }
}

/// The token that continues a list behind the key `last`, which stands without the list's prefix.
pub fn token(revision: Revision, last: &str) -> String {
    let token = Token { v: TOKEN_VERSION.into(), rv: revision.0, start: format!("{last}\0") };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("a token is plain data"))
}

fn read_version(text: &str) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let shown = crate::meta::field::quote(text);
        let why =
            format!("resourceVersion: Invalid value: {shown}: strconv.ParseUint: parsing {shown}: invalid syntax");
        Status::bad_request(format!("invalid resource version: {why}"))
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
    if token.start.is_empty() || token.start.contains("..") {
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
        let expected = Options { at: At::Revision(Revision(7)), start: Some("ns/a\0".into()), limit: 5 };
        assert_eq!(Options::read(&query).unwrap(), expected);
    }

    #[test]
    fn version_0_means_everything() {
        let options = Options::read(&Query::parse(Some("limit=5&resourceVersion=0"))).unwrap();
        assert_eq!(options, Options { at: At::Now, start: None, limit: 0 });
    }

    proptest::proptest! {
        #[test]
        fn no_token_panics(token in ".*", version in ".*") {
            let _ = (read_token(&token), read_version(&version));
        }
    }
}
