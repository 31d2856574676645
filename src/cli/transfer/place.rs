//! Places of `transfer`: a data folder, etcd, or the API of a cluster.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use percent_encoding::percent_decode_str;

use crate::meta::duration;
use crate::server::etcd::StorageLayout;
use crate::store::{EtcdOptions, EtcdTls};

/// A place with objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TransferPlace {
    /// The embedded store in a folder.
    Folder(PathBuf),
    /// A store in etcd, and its layout.
    Etcd(Box<EtcdOptions>, StorageLayout),
    /// The API of the cluster that a context of a kubeconfig names, or the current context.
    Cluster { kubeconfig: PathBuf, context: Option<String> },
}

impl TransferPlace {
    /// Returns true for two names of one place, as far as that is known without a request.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Folder(first), Self::Folder(second)) => {
                let [first, second] = [first, second].map(|folder| {
                    // A folder that does not exist yet is no other one.
                    fs::canonicalize(folder).unwrap_or_else(|_| folder.clone())
                });
                first == second
            }
            _ => self == other,
        }
    }
}

/// A text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlaceError {
    #[error(
        "a place is embedded:FOLDER or the path of a folder, etcd:URL[,URL…][?prefix=…&cafile=…], or \
         kubeconfig:FILE[?context=…]"
    )]
    Form,
    #[error("{0:?} is no URL: write etcd:https://HOST:PORT or etcd:http://HOST:PORT")]
    Url(String),
    #[error("{0:?} does not use TLS, but cafile or certfile is set: write https://")]
    Tls(String),
    #[error("prefix {0:?} must begin with a slash and name a folder, as /imagestream-apiserver")]
    Prefix(String),
    #[error("certfile and keyfile need each other")]
    Identity,
    #[error("request-timeout {0:?} is no duration: write it as 10s")]
    Timeout(String),
    #[error("layout {0:?} is unknown: write native or openshift")]
    Layout(String),
    #[error("there is no parameter {name:?}; {known}")]
    Parameter { name: String, known: &'static str },
}

const ETCD_PARAMETERS: &str =
    "those of etcd are layout, prefix, cafile, certfile, keyfile and request-timeout";
const CLUSTER_PARAMETERS: &str = "that of a kubeconfig is context";

impl FromStr for TransferPlace {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        match text.split_once(':') {
            Some(("embedded", folder)) if !folder.is_empty() => Ok(Self::Folder(folder.into())),
            Some(("etcd", rest)) => etcd(rest),
            Some(("kubeconfig", rest)) => cluster(rest),
            _ if text.starts_with(['/', '.']) => Ok(Self::Folder(text.into())),
            None if !text.is_empty() => Ok(Self::Folder(text.into())),
            _ => Err(PlaceError::Form),
        }
    }
}

fn etcd(text: &str) -> Result<TransferPlace, PlaceError> {
    let (servers, parameters) = split(text);
    let servers: Vec<String> = servers.split(',').map(str::to_owned).collect();
    let mut options = EtcdOptions::new(servers);
    let (mut layout, mut prefix) = (StorageLayout::default(), None);
    let (mut certificate, mut key) = (None, None);
    for (name, value) in parameters {
        match name {
            "layout" => {
                let named = StorageLayout::from_str(&value, false);
                layout = named.map_err(|_| PlaceError::Layout(value))?;
            }
            "prefix" => prefix = Some(value),
            "cafile" => options.tls.ca = Some(value.into()),
            "certfile" => certificate = Some(PathBuf::from(value)),
            "keyfile" => key = Some(PathBuf::from(value)),
            "request-timeout" => {
                let timeout = duration::positive(&value);
                options.request_timeout = timeout.map_err(|_| PlaceError::Timeout(value))?;
            }
            name => return Err(unknown(name, ETCD_PARAMETERS)),
        }
    }
    if certificate.is_some() != key.is_some() {
        return Err(PlaceError::Identity);
    }
    options.tls.identity = certificate.zip(key);
    layout.set_keys(prefix, &mut options);
    check(&options)?;
    Ok(TransferPlace::Etcd(Box::new(options), layout))
}

fn check(options: &EtcdOptions) -> Result<(), PlaceError> {
    for server in &options.servers {
        let is_tls = server.starts_with("https://");
        if !is_tls && !server.starts_with("http://") {
            return Err(PlaceError::Url(server.clone()));
        }
        if !is_tls && options.tls != EtcdTls::default() {
            return Err(PlaceError::Tls(server.clone()));
        }
    }
    let prefix = options.object_prefix();
    if !prefix.starts_with('/') {
        return Err(PlaceError::Prefix(prefix.to_owned()));
    }
    Ok(())
}

fn cluster(text: &str) -> Result<TransferPlace, PlaceError> {
    let (kubeconfig, parameters) = split(text);
    if kubeconfig.is_empty() {
        return Err(PlaceError::Form);
    }
    let mut context = None;
    for (name, value) in parameters {
        match name {
            "context" => context = Some(value),
            name => return Err(unknown(name, CLUSTER_PARAMETERS)),
        }
    }
    Ok(TransferPlace::Cluster { kubeconfig: kubeconfig.into(), context })
}

fn unknown(name: &str, known: &'static str) -> PlaceError {
    PlaceError::Parameter { name: name.to_owned(), known }
}

/// The text before a question mark, and the parameters after it.
fn split(text: &str) -> (&str, Vec<(&str, String)>) {
    let (place, query) = text.split_once('?').unwrap_or((text, ""));
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let parameters = parameters.map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (name, percent_decode_str(value).decode_utf8_lossy().into_owned())
    });
    (place, parameters.collect())
}

/// The place as messages name it.
impl fmt::Display for TransferPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "folder {}", folder.display()),
            Self::Etcd(options, layout) => {
                let (servers, prefix) = (options.servers.join(","), options.object_prefix());
                write!(f, "etcd at {servers}, prefix {prefix}")?;
                match layout {
                    StorageLayout::Native => Ok(()),
                    StorageLayout::OpenShift => f.write_str(", layout openshift"),
                }
            }
            Self::Cluster { kubeconfig, context: None } => {
                write!(f, "cluster of {}", kubeconfig.display())
            }
            Self::Cluster { kubeconfig, context: Some(context) } => {
                write!(f, "cluster of {}, context {context}", kubeconfig.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place(text: &str) -> Result<TransferPlace, PlaceError> {
        text.parse()
    }

    #[test]
    fn folders_are_paths_or_have_a_scheme() {
        for text in ["embedded:/a/b", "/a/b"] {
            assert_eq!(place(text), Ok(TransferPlace::Folder("/a/b".into())));
        }
        for path in ["data", "./a:b", "../etcd", "/a?b"] {
            assert_eq!(place(path), Ok(TransferPlace::Folder(path.into())));
        }
        for text in ["", "embedded:", "kubeconfig:", "s3:bucket", "http://a:1"] {
            assert_eq!(place(text), Err(PlaceError::Form), "{text}");
        }
    }

    #[test]
    fn one_folder_with_two_names_is_the_same_place() {
        let folder = tempfile::tempdir().expect("a folder can be created");
        let [path, other] = [folder.path().to_owned(), folder.path().join(".")];
        let [first, second] = [path.clone(), other].map(TransferPlace::Folder);
        assert!(first.is_same(&second));
        assert!(!first.is_same(&TransferPlace::Folder(path.join("missing"))));
    }

    #[test]
    fn etcd_has_the_parameters_of_its_flags() {
        let text = "etcd:https://a:2379,https://b:2379?prefix=/p&cafile=ca.crt&certfile=c%26t.crt\
                    &keyfile=t.key&request-timeout=10s";
        let Ok(TransferPlace::Etcd(options, layout)) = place(text) else {
            panic!("{:?}", place(text))
        };
        assert_eq!((layout, &options.shared), (StorageLayout::Native, &None));
        assert_eq!(options.servers, ["https://a:2379", "https://b:2379"]);
        assert_eq!(
            (options.prefix.as_str(), options.request_timeout),
            ("/p", Duration::from_secs(10))
        );
        let identity = Some(("c&t.crt".into(), "t.key".into()));
        assert_eq!(options.tls, EtcdTls { ca: Some("ca.crt".into()), identity });
        let named = TransferPlace::Etcd(options, layout).to_string();
        assert_eq!(named, "etcd at https://a:2379,https://b:2379, prefix /p");
    }

    #[test]
    fn layout_of_openshift_has_a_prefix_of_its_own() {
        for (text, prefix) in [
            ("etcd:http://a:1?layout=openshift", "/openshift.io"),
            ("etcd:http://a:1?prefix=/p&layout=openshift", "/p"),
            ("etcd:http://a:1?layout=openshift&prefix=/p/", "/p"),
        ] {
            let place = place(text).expect(text);
            let named = format!("etcd at http://a:1, prefix {prefix}, layout openshift");
            assert_eq!(place.to_string(), named);
            let TransferPlace::Etcd(options, _) = place else { panic!("{place:?}") };
            let shared = options.shared.expect("openshift-apiserver has the same keys");
            assert_eq!(shared.etcd_prefix, format!("{prefix}/"));
            assert_eq!(options.prefix, format!("/imagestream-apiserver/shared{prefix}"));
        }
        let native = place("etcd:http://a:1?layout=native").expect("it is a layout");
        assert_eq!(place("etcd:http://a:1"), Ok(native));
    }

    #[test]
    fn invalid_places_name_the_way_out() {
        for (text, hint) in [
            ("etcd://a:2379", "write etcd:https://HOST:PORT"),
            ("etcd:", "write etcd:https://HOST:PORT"),
            ("etcd:http://a:1?cafile=x", "write https://"),
            ("etcd:http://a:1?prefix=p", "must begin with a slash"),
            ("etcd:https://a:1?keyfile=x", "need each other"),
            ("etcd:http://a:1?request-timeout=soon", "write it as 10s"),
            ("etcd:http://a:1?prefix=p&layout=openshift", "must begin with a slash"),
            ("etcd:http://a:1?prefix=/&layout=openshift", "must begin with a slash"),
            ("etcd:http://a:1?layout=x", "write native or openshift"),
            ("etcd:http://a:1?storage-layout=x", "layout, prefix, cafile"),
            ("kubeconfig:a?namespace=x", "context"),
        ] {
            let why = place(text).expect_err(text).to_string();
            assert!(why.contains(hint), "{text}: {why}");
        }
    }

    #[test]
    fn context_of_a_kubeconfig_is_optional() {
        let cluster = |context: Option<&str>| TransferPlace::Cluster {
            kubeconfig: "/k".into(),
            context: context.map(str::to_owned),
        };
        assert_eq!(place("kubeconfig:/k"), Ok(cluster(None)));
        assert_eq!(place("kubeconfig:/k?context=a/b:6443"), Ok(cluster(Some("a/b:6443"))));
    }
}
