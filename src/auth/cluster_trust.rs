//! What the control plane says of certificates, in the ConfigMap `kube-system/extension-apiserver-authentication`.
//!
//! Everything in it is hostile until proved. A value that is missing or broken never takes the place of one that was good.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;
use rustls_pki_types::UnixTime;

use super::ca_bundle::CaBundle;
use super::front_proxy::{FrontProxy, HeaderNames};
use super::trust::Trust;

/// Where the ConfigMap is.
pub const NAMESPACE: &str = "kube-system";
/// What it is called.
pub const NAME: &str = "extension-apiserver-authentication";

const CLIENT_CA: &str = "client-ca-file";
const PROXY_CA: &str = "requestheader-client-ca-file";
const UID: &str = "requestheader-uid-headers";

/// What a ConfigMap says, each part for itself.
#[derive(Debug)]
pub struct ClusterTrust {
    /// Who signs certificates of users; none where nothing is said.
    pub clients: Option<Result<CaBundle, String>>,
    /// Who may ask on behalf of others; none where nothing is said.
    pub front_proxy: Option<Result<FrontProxy, String>>,
}

/// Reads the data of the ConfigMap.
pub fn parse(data: &BTreeMap<String, String>, now: UnixTime) -> ClusterTrust {
    let value = |key: &str| data.get(key).filter(|value| !value.trim().is_empty());
    let ca_bundle = |key: &str, pem: &str| CaBundle::parse(pem.as_bytes(), now).map_err(|why| format!("{key}: {why}"));
    ClusterTrust {
        clients: value(CLIENT_CA).map(|pem| ca_bundle(CLIENT_CA, pem)),
        front_proxy: value(PROXY_CA).map(|pem| {
            let ca_bundle = ca_bundle(PROXY_CA, pem)?;
            let extra = header_names(data, "requestheader-extra-headers-prefix")?;
            let headers = HeaderNames {
                username: header_names(data, "requestheader-username-headers")?,
                // Control planes name it only since Kubernetes 1.33; older ones let clients write such a header themselves.
                uid: data.contains_key(UID).then(|| header_names(data, UID)).transpose()?.unwrap_or_default(),
                group: header_names(data, "requestheader-group-headers")?,
                extra_prefixes: extra.iter().map(|prefix| prefix.as_str().to_owned()).collect(),
            };
            if headers.username.is_empty() {
                return Err("requestheader-username-headers: it names no header".into());
            }
            // Only a list that is there and empty means every name.
            let allowed_names = list(data, "requestheader-allowed-names")?;
            Ok(FrontProxy { ca_bundle, allowed_names, headers: Arc::new(headers) })
        }),
    }
}

/// The trust that a ConfigMap leads to, and what is wrong with it. What is not said, or is wrong, stays as it was `before`.
pub(super) fn next(before: &Trust, data: &BTreeMap<String, String>, now: UnixTime) -> (Trust, Vec<String>) {
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

fn resolve<T>(said: Option<Result<T, String>>, was_set: bool, key: &str, errors: &mut Vec<String>) -> Option<T> {
    match said {
        Some(Ok(value)) => Some(value),
        Some(Err(error)) => {
            errors.push(error);
            None
        }
        None => {
            if was_set {
                errors.push(format!("{key}: it is gone"));
            }
            None
        }
    }
}

fn header_names(data: &BTreeMap<String, String>, key: &str) -> Result<Vec<HeaderName>, String> {
    let parse = |name: &String| name.trim().parse().map_err(|_| format!("{key}: {name:?} is no name of a header"));
    list(data, key)?.iter().map(parse).collect()
}

fn list(data: &BTreeMap<String, String>, key: &str) -> Result<Vec<String>, String> {
    let text = data.get(key).ok_or_else(|| format!("{key}: it is not there"))?;
    serde_json::from_str(text).map_err(|why| format!("{key}: no JSON list of texts: {why}"))
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
    fn a_sound_config_map_is_taken_whole() {
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
    fn a_cluster_without_a_front_proxy_has_none() {
        let (trust, errors) = next(&Trust::default(), &BTreeMap::new(), now());
        assert!(trust.front_proxy.is_none() && trust.clients.is_none() && errors.is_empty());
    }

    #[test]
    fn whatever_is_broken_or_gone_stays_as_it_was() {
        let (before, _) = next(&Trust::default(), &data(&Ca::new("ca")), now());
        let broken: [(&str, Option<&str>, &str); 9] = [
            ("client-ca-file", Some("x"), "client-ca-file: it holds no certificate"),
            ("client-ca-file", None, "client-ca-file: it is gone"),
            ("requestheader-client-ca-file", Some(" "), "requestheader-client-ca-file: it is gone"),
            ("requestheader-username-headers", Some("[]"), "it names no header"),
            ("requestheader-group-headers", Some(r#"["a b"]"#), r#""a b" is no name of a header"#),
            ("requestheader-allowed-names", Some("front-proxy-client"), "no JSON list of texts"),
            ("requestheader-allowed-names", Some(""), "no JSON list of texts"),
            ("requestheader-allowed-names", None, "requestheader-allowed-names: it is not there"),
            ("requestheader-group-headers", None, "requestheader-group-headers: it is not there"),
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
                trust.front_proxy.unwrap().ca_bundle.is_same(&before.front_proxy.as_ref().unwrap().ca_bundle),
            ];
            assert!(same[kept] && !same[replaced], "{key}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_config_map_panics(values in proptest::collection::vec(".*", 6)) {
            let keys = data(&Ca::new("ca")).into_keys();
            let _ = next(&Trust::default(), &keys.zip(values).collect(), now());
        }
    }
}
