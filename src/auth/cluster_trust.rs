//! Trusted CAs in the ConfigMap `kube-system/extension-apiserver-authentication`.
//!
//! The content is untrusted input. A missing or invalid value never replaces a valid one.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;
use rustls_pki_types::UnixTime;

use super::ca_bundle::CaBundle;
use super::front_proxy::{FrontProxy, HeaderNames};
use super::trust::Trust;

/// Namespace of the ConfigMap.
pub const NAMESPACE: &str = "kube-system";
/// Name of the ConfigMap.
pub const NAME: &str = "extension-apiserver-authentication";

const CLIENT_CA: &str = "client-ca-file";
const PROXY_CA: &str = "requestheader-client-ca-file";
const UID: &str = "requestheader-uid-headers";

/// Content of the ConfigMap. Each part can be invalid on its own.
#[derive(Debug)]
pub struct ClusterTrust {
    /// CAs of user certificates; `None` if the key is missing or empty.
    pub clients: Option<Result<CaBundle, String>>,
    /// Front proxies; `None` if the key of their CAs is missing or empty.
    pub front_proxy: Option<Result<FrontProxy, String>>,
}

/// Parses the data of the ConfigMap.
pub fn parse(data: &BTreeMap<String, String>, now: UnixTime) -> ClusterTrust {
    let value = |key: &str| data.get(key).filter(|value| !value.trim().is_empty());
    let ca_bundle = |key: &str, pem: &str| {
        CaBundle::parse(pem.as_bytes(), now).map_err(|why| format!("{key}: {why}"))
    };
    ClusterTrust {
        clients: value(CLIENT_CA).map(|pem| ca_bundle(CLIENT_CA, pem)),
        front_proxy: value(PROXY_CA).map(|pem| {
            let ca_bundle = ca_bundle(PROXY_CA, pem)?;
            let extra = header_names(data, "requestheader-extra-headers-prefix")?;
            let headers = HeaderNames {
                username: header_names(data, "requestheader-username-headers")?,
                // The key exists since Kubernetes 1.33. Older control planes do not remove such
                // a header from the requests of clients.
                uid: data
                    .contains_key(UID)
                    .then(|| header_names(data, UID))
                    .transpose()?
                    .unwrap_or_default(),
                group: header_names(data, "requestheader-group-headers")?,
                extra_prefixes: extra.iter().map(|prefix| prefix.as_str().to_owned()).collect(),
            };
            if headers.username.is_empty() {
                return Err("requestheader-username-headers: it lists no header".into());
            }
            // An empty list allows every name; a missing list must not.
            let allowed_names = list(data, "requestheader-allowed-names")?;
            Ok(FrontProxy { ca_bundle, allowed_names, headers: Arc::new(headers) })
        }),
    }
}

/// Trust after a change of the ConfigMap, and its errors. A missing or invalid value keeps that
/// of `before`.
pub(super) fn next(
    before: &Trust,
    data: &BTreeMap<String, String>,
    now: UnixTime,
) -> (Trust, Vec<String>) {
    let ClusterTrust { clients, front_proxy } = parse(data, now);
    let mut errors = Vec::new();
    let clients = resolve(clients, before.clients.is_some(), CLIENT_CA, &mut errors);
    let front_proxy = resolve(front_proxy, before.front_proxy.is_some(), PROXY_CA, &mut errors);
    let trust = Trust {
        clients: clients.map(Arc::new).or_else(|| before.clients.clone()),
        front_proxy: front_proxy.map(Arc::new).or_else(|| before.front_proxy.clone()),
    };
    (trust, errors)
}

fn resolve<T>(
    parsed: Option<Result<T, String>>,
    was_set: bool,
    key: &str,
    errors: &mut Vec<String>,
) -> Option<T> {
    match parsed {
        Some(Ok(value)) => Some(value),
        Some(Err(error)) => {
            errors.push(error);
            None
        }
        None => {
            if was_set {
                errors.push(format!("{key}: the key was removed"));
            }
            None
        }
    }
}

fn header_names(data: &BTreeMap<String, String>, key: &str) -> Result<Vec<HeaderName>, String> {
    let parse = |name: &String| {
        name.trim().parse().map_err(|_| format!("{key}: {name:?} is not a header name"))
    };
    list(data, key)?.iter().map(parse).collect()
}

fn list(data: &BTreeMap<String, String>, key: &str) -> Result<Vec<String>, String> {
    let text = data.get(key).ok_or_else(|| format!("{key}: the key is missing"))?;
    serde_json::from_str(text).map_err(|why| format!("{key}: not a JSON list of strings: {why}"))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Ca, now};
    use super::*;

    fn data(ca: &Ca) -> BTreeMap<String, String> {
        let pairs = [
            ("client-ca-file", ca.pem()),
            ("requestheader-client-ca-file", ca.pem()),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#.into()),
            ("requestheader-group-headers", r#"["X-Remote-Group"]"#.into()),
            ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#.into()),
            ("requestheader-allowed-names", r#"["front-proxy-client"]"#.into()),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).into()
    }

    #[test]
    fn valid_config_map_is_accepted() {
        let (trust, errors) = next(&Trust::default(), &data(&Ca::new("ca")), now());
        assert_eq!(errors, Vec::<String>::new());
        let proxy = trust.front_proxy.unwrap();
        assert_eq!(proxy.allowed_names, ["front-proxy-client"]);
        assert_eq!(proxy.headers.username, ["x-remote-user"]);
        assert_eq!(proxy.headers.uid, Vec::<HeaderName>::new());
        assert_eq!(proxy.headers.extra_prefixes, ["x-remote-extra-"]);
        assert!(trust.clients.is_some());
    }

    #[test]
    fn empty_config_map_trusts_nothing() {
        let (trust, errors) = next(&Trust::default(), &BTreeMap::new(), now());
        assert!(trust.front_proxy.is_none() && trust.clients.is_none() && errors.is_empty());
    }

    #[test]
    fn missing_or_invalid_value_keeps_the_previous_one() {
        let (before, _) = next(&Trust::default(), &data(&Ca::new("ca")), now());
        let broken: [(&str, Option<&str>, &str); 9] = [
            ("client-ca-file", Some("x"), "client-ca-file: it contains no certificate"),
            ("client-ca-file", None, "client-ca-file: the key was removed"),
            (
                "requestheader-client-ca-file",
                Some(" "),
                "requestheader-client-ca-file: the key was removed",
            ),
            ("requestheader-username-headers", Some("[]"), "it lists no header"),
            ("requestheader-group-headers", Some(r#"["a b"]"#), r#""a b" is not a header name"#),
            (
                "requestheader-allowed-names",
                Some("front-proxy-client"),
                "not a JSON list of strings",
            ),
            ("requestheader-allowed-names", Some(""), "not a JSON list of strings"),
            (
                "requestheader-allowed-names",
                None,
                "requestheader-allowed-names: the key is missing",
            ),
            (
                "requestheader-group-headers",
                None,
                "requestheader-group-headers: the key is missing",
            ),
        ];
        for (key, value, error) in broken {
            let mut data = data(&Ca::new("new"));
            match value {
                Some(value) => data.insert(key.into(), value.into()),
                None => data.remove(key),
            };
            let (trust, errors) = next(&before, &data, now());
            assert!(errors.len() == 1 && errors[0].contains(error), "{errors:?}");
            let (kept, replaced) = match key {
                "client-ca-file" => (0, 1),
                _ => (1, 0),
            };
            let same = [
                trust.clients.unwrap().is_same(before.clients.as_ref().unwrap()),
                trust
                    .front_proxy
                    .unwrap()
                    .ca_bundle
                    .is_same(&before.front_proxy.as_ref().unwrap().ca_bundle),
            ];
            assert!(same[kept] && !same[replaced], "{key}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_config_map_does_not_panic(values in proptest::collection::vec(".*", 6)) {
            let keys = data(&Ca::new("ca")).into_keys();
            let _ = next(&Trust::default(), &keys.zip(values).collect(), now());
        }
    }
}
