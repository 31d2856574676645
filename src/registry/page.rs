//! Pagination: the options of a list and the continue token.

use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::{DecodeError, Engine};
use serde::Serialize;

use super::options::{GetOptions, ListOptions};
use crate::machinery::go_fmt::strconv_error;
use crate::machinery::go_json;
use crate::meta::{GroupResource, Status, excerpt, field};
use crate::store::{At, MAX_KEY_BYTES, Revision};

/// The start, revision and length of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOptions {
    /// The revision to read.
    pub at: At,
    /// The minimum revision of the result.
    pub at_least: Revision,
    /// The first key, without the prefix of the list.
    pub start: Option<String>,
    /// The maximum number of objects; 0 for all.
    pub limit: usize,
}

/// The content of a continue token, which is opaque to clients.
#[derive(Default, Serialize)]
struct ContinueToken {
    v: String,
    rv: i64,
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";
/// Go's `base64.RawURLEncoding`, which accepts nonzero trailing bits.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
/// The resourceVersion in tokens that continue at the latest revision.
const LATEST: i64 = -1;

impl PageOptions {
    /// Reads the options of a list.
    ///
    /// # Errors
    /// 400 for malformed values, 422 for invalid combinations.
    pub fn read(options: &ListOptions) -> Result<Self, Status> {
        let (version_text, token) =
            (options.resource_version.as_str(), options.continue_token.as_str());
        let limit = usize::try_from(options.limit.unwrap_or_default()).unwrap_or_default();
        let r#match = options.resource_version_match.as_str();
        let mut errors = match_errors(r#match, version_text, token);
        if options.send_initial_events.is_some() {
            errors.push_with(|| {
                field::Error::forbidden(
                    "sendInitialEvents",
                    "sendInitialEvents is forbidden for list",
                )
            });
        }
        if !errors.is_empty() {
            return Err(invalid_options(&errors));
        }
        if !token.is_empty() {
            let token = read_token(token)?;
            if !["", "0"].contains(&version_text) {
                return Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            let at = u64::try_from(token.rv)
                .map_or(At::Now, |revision| At::Revision(Revision(revision)));
            return Ok(Self { at, at_least: Revision(0), start: Some(token.start), limit });
        }
        let version = read_version(version_text)?.unwrap_or_default();
        let is_any = !version_text.is_empty() && version == Revision(0);
        let is_exact = match r#match {
            "Exact" => true,
            // A limited list at a known revision is exact unless `resourceVersionMatch` is set.
            "" => limit > 0 && version != Revision(0),
            _ => false,
        };
        Ok(Self {
            at: if is_exact { At::Revision(version) } else { At::Now },
            at_least: version,
            start: None,
            // kube-apiserver serves such lists from its watch cache, which ignores the limit.
            limit: if is_any { 0 } else { limit },
        })
    }
}

/// The errors of the parameter `resourceVersionMatch`, as `ValidateListOptions` in
/// k8s.io/apimachinery/pkg/apis/meta/internalversion/validation/validation.go.
fn match_errors(r#match: &str, version: &str, token: &str) -> field::Errors {
    const NAME: &str = "resourceVersionMatch";
    let mut errors = field::Errors::default();
    if r#match.is_empty() {
        return errors;
    }
    let mut forbid = |why: &str| errors.push_with(|| field::Error::forbidden(NAME, why));
    if version.is_empty() {
        forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
    }
    if !token.is_empty() {
        forbid("resourceVersionMatch is forbidden when continue is provided");
    }
    if r#match == "Exact" && version == "0" {
        forbid("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    }
    if !["Exact", "NotOlderThan"].contains(&r#match) {
        errors
            .push_with(|| field::Error::unsupported(NAME, r#match, &["Exact", "NotOlderThan", ""]));
    }
    errors
}

/// The 422 for invalid combinations of list or watch options.
pub(crate) fn invalid_options(errors: &field::Errors) -> Status {
    Status::invalid(GroupResource { group: "meta.k8s.io", name: "ListOptions" }, "", errors)
}

/// The token that continues a list after the key `last`, which has no list prefix; as
/// `EncodeContinue` in k8s.io/apiserver/pkg/storage/continue.go.
pub fn continue_token(revision: Revision, last: &str) -> String {
    write_token(i64::try_from(revision.0).unwrap_or(i64::MAX), format!("{last}\0"))
}

/// The 410 for a continued list whose revision is compacted. Its token continues at the key
/// `start` with the latest revision, as `handleCompactedErrorForPaging` in
/// k8s.io/apiserver/pkg/storage/etcd3/errors.go.
pub fn expired(start: &str) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
         the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
         Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
         deleted between the time the first chunk was returned and now may show up in the list.",
    );
    status.metadata.r#continue = write_token(LATEST, start.to_owned());
    status
}

fn write_token(rv: i64, start: String) -> String {
    let token = ContinueToken { v: TOKEN_VERSION.into(), rv, start };
    BASE64.encode(serde_json::to_vec(&token).expect("a token is plain data"))
}

fn read_version(text: &str) -> Result<Option<Revision>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let refuse = |why| Status::bad_request(format!("invalid resource version: {why}"));
    parse_version(text).map(Some).map_err(refuse)
}

/// The minimum revision of a read of one object; none if the request has no resourceVersion.
///
/// # Errors
/// 400 for a malformed resourceVersion.
pub fn least_version(options: &GetOptions) -> Result<Option<Revision>, Status> {
    match options.resource_version.as_str() {
        "" => Ok(None),
        text => parse_version(text).map(Some).map_err(Status::bad_request),
    }
}

/// Parses a resourceVersion.
///
/// # Errors
/// A sentence for the client.
pub(crate) fn parse_version(text: &str) -> Result<Revision, String> {
    text.parse().map(Revision).map_err(|why| {
        format!(
            "resourceVersion: Invalid value: {}: {}",
            field::quote(text),
            strconv_error("ParseUint", text, &why)
        )
    })
}

fn read_token(text: &str) -> Result<ContinueToken, Status> {
    decode_token(text).map_err(|why| {
        Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
    })
}

fn decode_token(text: &str) -> Result<ContinueToken, String> {
    let bytes = BASE64.decode(text).map_err(|why| {
        let at = match why {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
            DecodeError::InvalidLength(at) => at.saturating_sub(1),
            DecodeError::InvalidPadding => text.find('=').unwrap_or_default(),
        };
        format!("illegal base64 data at input byte {at}")
    })?;
    let json = str::from_utf8(&bytes).map_err(|why| {
        format!(
            "invalid character '\\x{:02x}' looking for beginning of value",
            bytes[why.valid_up_to()]
        )
    })?;
    let mut token: ContinueToken = go_json::read(json.as_bytes()).map_err(excerpt::of)?;
    if token.v != TOKEN_VERSION {
        return Err(format!(
            "server does not recognize this encoded version {}",
            excerpt::of(token.v)
        ));
    }
    if token.rv == 0 {
        return Err(format!("incorrect encoded start resourceVersion (version {TOKEN_VERSION})"));
    }
    if token.start.is_empty() {
        return Err(format!("encoded start key empty (version {TOKEN_VERSION})"));
    }
    // A tag name follows the colon, and may be any text.
    let path = token.start.split(':').next().unwrap_or_default();
    if path.len() > MAX_KEY_BYTES {
        return Err(format!("the start key is longer than the {MAX_KEY_BYTES} bytes of a key"));
    }
    let key = path.strip_prefix('/').unwrap_or(path);
    if key.split('/').any(|part| ["", ".", ".."].contains(&part)) {
        return Err(token.start);
    }
    token.start.drain(..path.len() - key.len());
    Ok(token)
}

impl go_json::Struct for ContinueToken {
    const NAME: &'static str = "storage.continueToken";

    fn fields(&mut self) -> Vec<(&'static str, &mut dyn go_json::Decode)> {
        vec![("v", &mut self.v), ("rv", &mut self.rv), ("start", &mut self.start)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machinery::query::Query;

    fn options(query: Option<&str>) -> ListOptions {
        ListOptions::read(&Query::parse(query)).unwrap()
    }

    #[test]
    fn continue_token_round_trips() {
        let query =
            options(Some(&format!("limit=5&continue={}", continue_token(Revision(7), "ns/a"))));
        let expected = PageOptions {
            at: At::Revision(Revision(7)),
            at_least: Revision(0),
            start: Some("ns/a\0".into()),
            limit: 5,
        };
        assert_eq!(PageOptions::read(&query).unwrap(), expected);
    }

    #[test]
    fn expired_list_continues_at_the_latest_revision() {
        let status = expired("ns/a\0");
        let query = options(Some(&format!("continue={}", status.metadata.r#continue)));
        let expected = PageOptions {
            at: At::Now,
            at_least: Revision(0),
            start: Some("ns/a\0".into()),
            limit: 0,
        };
        assert_eq!((status.code, PageOptions::read(&query).unwrap()), (410, expected));
    }

    #[test]
    fn limited_list_with_version_means_exact() {
        let at = |query| PageOptions::read(&options(Some(query))).unwrap().at;
        assert_eq!(at("limit=5&resourceVersion=7"), At::Revision(Revision(7)));
        assert_eq!(at("limit=5&resourceVersion=7&resourceVersionMatch=NotOlderThan"), At::Now);
        assert_eq!(at("resourceVersion=7"), At::Now);
    }

    #[test]
    fn token_cannot_leave_its_list_but_tags_may_have_any_name() {
        let start = |last| read_token(&continue_token(Revision(1), last)).map(|token| token.start);
        for outside in ["../x", "ns/../x", "./x", "ns//x", "//x"] {
            assert_eq!(
                start(outside).unwrap_err().message.split(": ").last(),
                Some(&*format!("{outside}\0"))
            );
        }
        assert_eq!(start("/ns/x").unwrap(), "ns/x\0");
        assert_eq!(start("ns/s:../../x").unwrap(), "ns/s:../../x\0");
        let long = "-".repeat(MAX_KEY_BYTES);
        assert!(start(&long).is_err(), "longer than any key");
        assert!(start(&format!("ns/s:{long}")).is_ok());
    }

    #[test]
    fn all_invalid_list_options_are_reported() {
        let message = |query| {
            let options = ListOptions::read(&Query::parse(Some(query)));
            options.and_then(|options| PageOptions::read(&options)).unwrap_err().message
        };
        assert_eq!(
            message("resourceVersionMatch=Bogus&sendInitialEvents=1"),
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden \
             unless resourceVersion is provided, resourceVersionMatch: Unsupported value: \"Bogus\": supported values: \
             \"Exact\", \"NotOlderThan\", \"\", sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list]"
        );
        assert_eq!(
            message("resourceVersionMatch=Bogus&limit=x"),
            "strconv.ParseInt: parsing \"x\": invalid syntax"
        );
        assert!(
            message("continue=!&resourceVersion=1")
                .ends_with("illegal base64 data at input byte 0")
        );
        assert!(message("continue=e30%3D").ends_with("illegal base64 data at input byte 3"));
        assert!(message("resourceVersion=99999999999999999999").ends_with("value out of range"));
    }

    #[test]
    fn version_0_ignores_the_limit() {
        let options = PageOptions::read(&options(Some("limit=5&resourceVersion=0"))).unwrap();
        assert_eq!(
            options,
            PageOptions { at: At::Now, at_least: Revision(0), start: None, limit: 0 }
        );
    }

    proptest::proptest! {
        #[test]
        fn no_token_panics(token in ".*", version in ".*") {
            let _ = (read_token(&token), read_version(&version));
        }
    }
}
