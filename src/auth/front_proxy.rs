//! The front proxy: kube-apiserver, which says in headers on whose behalf it asks.
//!
//! Those headers are worth what the certificate of the connection is worth. They can be read with a [`VerifiedProxy`] only, and
//! only the check of a certificate makes one.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ca_bundle::{CaBundle, common_name};
use super::user::User;

/// Whom to believe on whose behalf a request is, and where that stands.
#[derive(Debug)]
pub struct FrontProxy {
    /// Who signs the certificates of proxies.
    pub ca_bundle: CaBundle,
    /// The common names that proxies have; any, where there is none.
    pub allowed_names: Vec<String>,
    /// Where they say who the user is.
    pub headers: Arc<HeaderNames>,
}

/// The headers in which a proxy says who the user is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderNames {
    /// The name of the user: the first of these that is not empty.
    pub username: Vec<HeaderName>,
    /// The UID of the user: the first of these that is not empty.
    pub uid: Vec<HeaderName>,
    /// The groups of the user: all values of all of these.
    pub group: Vec<HeaderName>,
    /// The beginnings of headers that tell something else of the user, in lower case.
    pub extra_prefixes: Vec<String>,
}

/// Why a certificate is not that of a front proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxyRejection {
    /// What the certificate says of its issuer.
    pub issuer: String,
    /// The common name in it.
    pub name: String,
    /// What speaks against it.
    pub cause: String,
}

impl HeaderNames {
    /// Whether a header is one of these.
    pub fn contain(&self, name: &HeaderName) -> bool {
        [&self.username, &self.uid, &self.group].into_iter().any(|names| names.contains(name))
            || self.extra_prefixes.iter().any(|prefix| name.as_str().starts_with(prefix))
    }
}

/// Proof that the other end of a connection is a front proxy.
#[derive(Clone, Debug)]
pub struct VerifiedProxy {
    headers: Arc<HeaderNames>,
}

/// The headers of a front proxy name a user in a way that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxyUser {
    /// Two names that are no text could be taken for one.
    #[error("a header that names the user is not UTF-8")]
    NotUtf8,
    /// No authorizer can tell an extra without a key from none.
    #[error("a header that starts like an extra of the user names no key")]
    EmptyExtraKey,
}

impl FrontProxy {
    /// Judges the certificate of a connection.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn verify(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> Result<VerifiedProxy, ProxyRejection> {
        let parsed = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
        let name = parsed.as_ref().and_then(|(_, leaf)| common_name(leaf)).unwrap_or_default();
        let issuer = parsed.map(|(_, leaf)| leaf.issuer().to_string()).unwrap_or_default();
        if let Err(why) = self.ca_bundle.verify(chain, now) {
            return Err(ProxyRejection { issuer, name, cause: why.to_string() });
        }
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&name) {
            return Err(ProxyRejection {
                issuer,
                name,
                cause: "its common name is not in the list of allowed names".into(),
            });
        }
        Ok(VerifiedProxy { headers: self.headers.clone() })
    }

    /// Whether both judge every certificate, and read every header, alike.
    pub fn is_same(&self, other: &Self) -> bool {
        let Self { ca_bundle, allowed_names, headers } = self;
        ca_bundle.is_same(&other.ca_bundle) && *allowed_names == other.allowed_names && *headers == other.headers
    }
}

impl VerifiedProxy {
    /// The user on whose behalf the proxy asks; none where it names nobody.
    ///
    /// # Errors
    /// A value that is not UTF-8, or an extra without a key, which kube-apiserver takes as the key
    /// `""` (`newExtra` in `authentication/request/headerrequest`).
    pub fn user(&self, headers: &HeaderMap) -> Result<Option<Arc<User>>, InvalidProxyUser> {
        let names = &*self.headers;
        let Some(name) = first(headers, &names.username)? else {
            return Ok(None);
        };
        let uid = first(headers, &names.uid)?.unwrap_or_default();
        let mut groups = Vec::new();
        for value in names.group.iter().flat_map(|name| headers.get_all(name)).filter(|value| !value.is_empty()) {
            groups.push(text(value.as_bytes())?);
        }
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (header, value) in headers {
            // Header names arrive in lower case.
            let mut keys =
                names.extra_prefixes.iter().filter_map(|prefix| header.as_str().strip_prefix(prefix.as_str()));
            if let Some(key) = keys.next() {
                if key.is_empty() {
                    return Err(InvalidProxyUser::EmptyExtraKey);
                }
                extra.entry(unescape(key)).or_default().push(text(value.as_bytes())?);
            }
        }
        Ok(Some(User { name, uid, groups, extra }.authenticated()))
    }
}

/// Keys of extras are escaped, since not everything can stand in the name of a header.
pub(super) fn unescape(key: &str) -> String {
    match percent_decode_str(key).decode_utf8() {
        Ok(decoded) => decoded.into_owned(),
        Err(_) => key.to_owned(),
    }
}

fn first(headers: &HeaderMap, names: &[HeaderName]) -> Result<Option<String>, InvalidProxyUser> {
    let mut values = names.iter().filter_map(|name| headers.get(name)).filter(|value| !value.is_empty());
    values.next().map(|value| text(value.as_bytes())).transpose()
}

fn text(bytes: &[u8]) -> Result<String, InvalidProxyUser> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| InvalidProxyUser::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Ca, now};
    use super::*;
    use http::HeaderValue;

    fn proxy(ca: &Ca, allowed_names: &[&str]) -> FrontProxy {
        let name = |name: &'static str| vec![HeaderName::from_static(name)];
        let headers = HeaderNames {
            username: name("x-remote-user"),
            uid: name("x-remote-uid"),
            group: name("x-remote-group"),
            extra_prefixes: vec!["x-remote-extra-".into()],
        };
        let allowed_names = allowed_names.iter().map(|name| (*name).to_owned()).collect();
        FrontProxy { ca_bundle: ca.ca_bundle(), allowed_names, headers: Arc::new(headers) }
    }

    fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_an_allowed_name_of_the_authority_is_a_proxy() {
        let (ca, stranger) = (Ca::new("front-proxy-ca"), Ca::new("stranger"));
        assert!(proxy(&ca, &["aggregator"]).verify(&ca.client("aggregator", &[]), now()).is_ok());
        assert!(proxy(&ca, &[]).verify(&ca.client("anybody", &[]), now()).is_ok());
        let rejection = proxy(&ca, &["aggregator"]).verify(&ca.client("nope", &[]), now()).unwrap_err();
        assert_eq!((rejection.name.as_str(), rejection.issuer.contains("front-proxy-ca")), ("nope", true));
        assert!(rejection.cause.contains("allowed names"));
        let rejection = proxy(&ca, &[]).verify(&stranger.client("aggregator", &[]), now()).unwrap_err();
        assert!(rejection.issuer.contains("stranger") && rejection.cause.contains("UnknownIssuer"), "{rejection:?}");
    }

    #[test]
    fn the_headers_say_who_the_user_is() {
        let ca = Ca::new("ca");
        let verified = proxy(&ca, &[]).verify(&ca.client("p", &[]), now()).unwrap();
        let given = headers(&[
            ("X-Remote-User", "jürgen".as_bytes()),
            ("X-Remote-Group", b"a"),
            ("X-Remote-Group", b""),
            ("X-Remote-Group", b"b"),
            ("X-Remote-Uid", b"7"),
            ("X-Remote-Extra-Example.com%2fKey", b"v1"),
            ("X-Remote-Extra-Example.com%2fKey", b"v2"),
        ]);
        let user = verified.user(&given).unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jürgen", "7"));
        assert_eq!(user.groups, ["a", "b", "system:authenticated"]);
        assert_eq!(user.extra, BTreeMap::from([("example.com/key".into(), vec!["v1".into(), "v2".into()])]));
    }

    #[test]
    fn a_proxy_that_names_nobody_or_nobody_readable_names_nobody() {
        let ca = Ca::new("ca");
        let verified = proxy(&ca, &[]).verify(&ca.client("p", &[]), now()).unwrap();
        assert_eq!(verified.user(&headers(&[("x-remote-group", b"system:masters")])), Ok(None));
        assert_eq!(verified.user(&headers(&[("x-remote-user", b"")])), Ok(None));
        assert_eq!(verified.user(&headers(&[("x-remote-user", b"\xff")])), Err(InvalidProxyUser::NotUtf8));
    }

    #[test]
    fn an_extra_without_a_key_names_nobody() {
        let ca = Ca::new("ca");
        let verified = proxy(&ca, &[]).verify(&ca.client("p", &[]), now()).unwrap();
        let given = headers(&[("x-remote-user", b"bob"), ("x-remote-extra-", b"scope")]);
        assert_eq!(verified.user(&given), Err(InvalidProxyUser::EmptyExtraKey));
    }
}
