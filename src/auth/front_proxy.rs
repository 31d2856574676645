//! Front proxies, such as kube-apiserver, which name the user in request headers.
//!
//! The headers are trusted only on a connection with the certificate of a front proxy: reading
//! them takes a [`VerifiedProxy`], which only [`FrontProxy::verify`] creates.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ca_bundle::{CaBundle, common_name};
use super::user::User;

/// Trusted front proxies and the headers that they set.
#[derive(Debug)]
pub struct FrontProxy {
    /// CAs of the certificates of front proxies.
    pub ca_bundle: CaBundle,
    /// Allowed common names; any name if empty.
    pub allowed_names: Vec<String>,
    /// Headers that name the user.
    pub headers: Arc<HeaderNames>,
}

/// Headers that name the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderNames {
    /// Headers with the user name. The first that is not empty counts.
    pub username: Vec<HeaderName>,
    /// Headers with the UID. The first that is not empty counts.
    pub uid: Vec<HeaderName>,
    /// Headers with the groups. All values of all headers count.
    pub group: Vec<HeaderName>,
    /// Prefixes of headers with extra attributes of the user, in lower case.
    pub extra_prefixes: Vec<String>,
}

/// Reason why a certificate is not that of a front proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxyRejection {
    /// Issuer of the certificate.
    pub issuer: String,
    /// Common name of the certificate.
    pub name: String,
    /// Reason of the rejection.
    pub cause: String,
}

impl HeaderNames {
    /// Returns true if the header is one of these.
    pub fn contain(&self, name: &HeaderName) -> bool {
        [&self.username, &self.uid, &self.group].into_iter().any(|names| names.contains(name))
            || self.extra_prefixes.iter().any(|prefix| name.as_str().starts_with(prefix))
    }
}

/// Proof that the peer of a connection is a front proxy.
#[derive(Clone, Debug)]
pub struct VerifiedProxy {
    headers: Arc<HeaderNames>,
}

/// User headers of a front proxy that name no unambiguous user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxyUser {
    /// Value that is not UTF-8. Decoding it with replacement characters could match another name.
    #[error("a user header of the front proxy is not UTF-8")]
    NotUtf8,
    /// Extra header without a key, which authorizers cannot distinguish from a missing one.
    #[error("an extra header of the front proxy has no key")]
    EmptyExtraKey,
}

impl FrontProxy {
    /// Verifies the certificate chain of a connection.
    ///
    /// # Errors
    /// The reason of the rejection.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'static>],
        now: UnixTime,
    ) -> Result<VerifiedProxy, ProxyRejection> {
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
                cause: "the common name is not in the list of allowed names".into(),
            });
        }
        Ok(VerifiedProxy { headers: self.headers.clone() })
    }

    /// Returns true if both accept the same certificates and read the same headers.
    pub fn is_same(&self, other: &Self) -> bool {
        let Self { ca_bundle, allowed_names, headers } = self;
        ca_bundle.is_same(&other.ca_bundle)
            && *allowed_names == other.allowed_names
            && *headers == other.headers
    }
}

impl VerifiedProxy {
    /// User named by the headers; `None` without a name.
    ///
    /// # Errors
    /// A value that is not UTF-8, or an extra without a key. kube-apiserver reads the latter as the
    /// key `""` (`newExtra` in
    /// `k8s.io/apiserver/pkg/authentication/request/headerrequest/requestheader.go`).
    pub fn user(&self, headers: &HeaderMap) -> Result<Option<Arc<User>>, InvalidProxyUser> {
        let names = &*self.headers;
        let Some(name) = first(headers, &names.username)? else {
            return Ok(None);
        };
        let uid = first(headers, &names.uid)?.unwrap_or_default();
        let mut groups = Vec::new();
        for value in names
            .group
            .iter()
            .flat_map(|name| headers.get_all(name))
            .filter(|value| !value.is_empty())
        {
            groups.push(text(value.as_bytes())?);
        }
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (header, value) in headers {
            // The `http` crate keeps header names in lower case.
            let mut keys = names
                .extra_prefixes
                .iter()
                .filter_map(|prefix| header.as_str().strip_prefix(prefix.as_str()));
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

/// Decodes the key of an extra, which is percent-encoded to fit into a header name.
pub(super) fn unescape(key: &str) -> String {
    match percent_decode_str(key).decode_utf8() {
        Ok(decoded) => decoded.into_owned(),
        Err(_) => key.to_owned(),
    }
}

fn first(headers: &HeaderMap, names: &[HeaderName]) -> Result<Option<String>, InvalidProxyUser> {
    let mut values =
        names.iter().filter_map(|name| headers.get(name)).filter(|value| !value.is_empty());
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
            headers.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn proxy_needs_a_trusted_ca_and_an_allowed_name() {
        let (ca, stranger) = (Ca::new("front-proxy-ca"), Ca::new("stranger"));
        assert!(proxy(&ca, &["aggregator"]).verify(&ca.client("aggregator", &[]), now()).is_ok());
        assert!(proxy(&ca, &[]).verify(&ca.client("anybody", &[]), now()).is_ok());
        let rejection =
            proxy(&ca, &["aggregator"]).verify(&ca.client("nope", &[]), now()).unwrap_err();
        assert_eq!(
            (rejection.name.as_str(), rejection.issuer.contains("front-proxy-ca")),
            ("nope", true)
        );
        assert!(rejection.cause.contains("allowed names"));
        let rejection =
            proxy(&ca, &[]).verify(&stranger.client("aggregator", &[]), now()).unwrap_err();
        assert!(
            rejection.issuer.contains("stranger") && rejection.cause.contains("UnknownIssuer"),
            "{rejection:?}"
        );
    }

    #[test]
    fn headers_name_the_user() {
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
        assert_eq!(
            user.extra,
            BTreeMap::from([("example.com/key".into(), vec!["v1".into(), "v2".into()])])
        );
    }

    #[test]
    fn missing_or_unreadable_user_header_names_no_user() {
        let ca = Ca::new("ca");
        let verified = proxy(&ca, &[]).verify(&ca.client("p", &[]), now()).unwrap();
        assert_eq!(verified.user(&headers(&[("x-remote-group", b"system:masters")])), Ok(None));
        assert_eq!(verified.user(&headers(&[("x-remote-user", b"")])), Ok(None));
        assert_eq!(
            verified.user(&headers(&[("x-remote-user", b"\xff")])),
            Err(InvalidProxyUser::NotUtf8)
        );
    }

    #[test]
    fn extra_without_a_key_is_an_error() {
        let ca = Ca::new("ca");
        let verified = proxy(&ca, &[]).verify(&ca.client("p", &[]), now()).unwrap();
        let given = headers(&[("x-remote-user", b"bob"), ("x-remote-extra-", b"scope")]);
        assert_eq!(verified.user(&given), Err(InvalidProxyUser::EmptyExtraKey));
    }
}
