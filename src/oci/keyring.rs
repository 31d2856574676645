//! `Keyring`: the credentials of an import, and the choice among them.
//!
//! The rules are those of `BasicDockerKeyring` in k8s.io/kubernetes/pkg/credentialprovider, except
//! that a path matches whole components only: kubelet sends the credential of `r.io/team` to
//! `r.io/team-b` as well.

use std::sync::Arc;

use super::credential::Credential;
use super::docker_config::{self, ConfigFormat, DockerConfigError};
use super::repository::Repository;

/// Key of the credential for Docker Hub, from `https://index.docker.io/v1/`.
const DOCKER_HUB_KEY: &str = "index.docker.io";

/// Credentials of an import in sets. A set is searched only if no set before it has a match.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    namespace: Arc<str>,
    sets: Vec<CredentialSet>,
}

/// Credentials of equal rank, the most specific keys first.
#[derive(Clone, Debug, Default)]
pub struct CredentialSet {
    /// Namespace that owns the credentials; empty for those of the server.
    owner: Arc<str>,
    entries: Vec<KeyringEntry>,
}

/// A credential and the repositories that it is for.
#[derive(Clone, Debug)]
struct KeyringEntry {
    key: RepositoryKey,
    credential: Result<Option<Credential>, CredentialError>,
}

/// A matching entry without a usable credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credential in {source_name}, entry {key:?}, is invalid: {reason}")]
pub struct CredentialError {
    /// Source as in [`CredentialSet::add`].
    pub source_name: Arc<str>,
    /// Key of the entry.
    pub key: String,
    /// Reason. It quotes no secrets.
    pub reason: String,
}

/// Host, port and path of a key. Host labels may contain `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RepositoryKey {
    text: String,
    host: String,
    port: String,
    path: String,
}

impl Keyring {
    /// Creates a keyring of one set, for the namespace that owns it.
    pub fn new(set: CredentialSet) -> Self {
        Self { namespace: set.owner.clone(), sets: vec![set] }
    }

    /// Creates an empty keyring for a namespace.
    pub fn of_namespace(namespace: &str) -> Self {
        Self { namespace: namespace.into(), sets: Vec::new() }
    }

    /// Returns the namespace of the import; empty for one of the server.
    pub(super) fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    /// Adds a set that is searched last.
    pub fn push(&mut self, set: CredentialSet) {
        self.sets.push(set);
    }

    /// Returns the credential for a repository; none if no entry matches or the matching one is
    /// empty.
    ///
    /// # Errors
    /// The matching entry is invalid.
    pub fn find(&self, repository: &Repository) -> Result<Option<Credential>, CredentialError> {
        let found = self.sets.iter().find_map(|set| set.find(repository));
        found.map_or(Ok(None), |entry| entry.credential.clone())
    }
}

impl CredentialSet {
    /// Creates a set of credentials that belong to a namespace. They are equal to none of another
    /// namespace.
    pub fn of_namespace(namespace: &str) -> Self {
        Self { owner: namespace.into(), entries: Vec::new() }
    }

    /// Adds the credentials of a docker configuration. Of two entries with the same key, the first
    /// that was added is used.
    ///
    /// `source_name` is the name of the configuration for messages, such as `secret "pull"`. An
    /// entry that is invalid stays invalid for its own repositories ([`Keyring::find`]).
    ///
    /// # Errors
    /// The configuration as a whole is not readable.
    pub fn add(
        &mut self,
        source_name: &str,
        format: ConfigFormat,
        content: &[u8],
    ) -> Result<(), DockerConfigError> {
        let source: Arc<str> = source_name.into();
        for (key, secret) in docker_config::parse(format, content)? {
            let Some(parsed) = RepositoryKey::parse(&key) else { continue };
            let credential = match secret {
                Ok(secret) => {
                    Ok(secret.map(|secret| Credential::new(&self.owner, &source, &key, secret)))
                }
                Err(reason) => Err(CredentialError { source_name: source.clone(), key, reason }),
            };
            self.entries.push(KeyringEntry { key: parsed, credential });
        }
        // Reverse byte order puts longer paths first. The sort is stable.
        self.entries.sort_by(|a, b| b.key.text.cmp(&a.key.text));
        Ok(())
    }

    fn find(&self, repository: &Repository) -> Option<&KeyringEntry> {
        let (host, port) = split_port(repository.registry());
        let path = repository.path();
        let direct = self.entries.iter().find(|entry| entry.key.matches(host, port, path));
        let is_default = repository.is_on_docker_hub();
        let default =
            || self.entries.iter().find(|entry| is_default && entry.key.text == DOCKER_HUB_KEY);
        direct.or_else(default)
    }
}

impl RepositoryKey {
    /// Parses a key such as `quay.io/team`, `*.example.com:5000` or `https://index.docker.io/v1/`.
    fn parse(key: &str) -> Option<Self> {
        let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
        let rest = rest.unwrap_or(key);
        let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
        let (server, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let path = match path.get(..4) {
            Some("/v1/" | "/v2/") => &path[3..],
            _ => path,
        };
        let path = path.trim_matches('/');
        let (host, port) = split_port(server);
        let text = match path {
            "" => server.to_owned(),
            path => format!("{server}/{path}"),
        };
        (!host.is_empty()).then(|| Self {
            text,
            host: host.into(),
            port: port.into(),
            path: path.into(),
        })
    }

    fn matches(&self, host: &str, port: &str, path: &str) -> bool {
        let labels_match = || {
            let (globs, labels) = (self.host.split('.'), host.split('.'));
            globs.clone().count() == labels.clone().count()
                && globs.zip(labels).all(|(glob, label)| glob_matches(glob, label))
        };
        let rest = path.strip_prefix(&self.path);
        let path_matches =
            self.path.is_empty() || rest.is_some_and(|it| it.is_empty() || it.starts_with('/'));
        self.port == port && path_matches && labels_match()
    }
}

/// Host and port of a registry. The port is empty if there is none.
fn split_port(server: &str) -> (&str, &str) {
    match server.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (server, ""),
    }
}

/// Matches a label of a host name with a glob, of which `*` is the only special character that a
/// host name may have.
fn glob_matches(glob: &str, label: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = label.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(source: &str, keys: &[&str]) -> CredentialSet {
        let mut set = CredentialSet::default();
        add(&mut set, source, keys);
        set
    }

    fn add(set: &mut CredentialSet, source: &str, keys: &[&str]) {
        let auths: serde_json::Map<_, _> = keys
            .iter()
            .map(|key| ((*key).to_owned(), serde_json::json!({"username": "u", "password": "p"})))
            .collect();
        let text = serde_json::json!({ "auths": auths }).to_string();
        set.add(source, ConfigFormat::DockerConfigJson, text.as_bytes()).unwrap();
    }

    fn found(keyring: &Keyring, repository: &str) -> Option<String> {
        let repository = Repository::new(&repository.parse().unwrap()).unwrap();
        keyring.find(&repository).unwrap().map(|credential| credential.name())
    }

    #[test]
    fn paths_match_at_slashes_and_the_longest_wins() {
        let keyring = Keyring::new(set("s", &["r.io", "r.io/ns", "r.io/ns/app", "r.io:5000/ns"]));
        let entry = |key: &str| Some(format!("s, entry {key:?}"));
        assert_eq!(found(&keyring, "r.io/ns/app"), entry("r.io/ns/app"));
        assert_eq!(found(&keyring, "r.io/ns/app2"), entry("r.io/ns"));
        assert_eq!(found(&keyring, "r.io/nsx/app"), entry("r.io"));
        assert_eq!(found(&keyring, "r.io:5000/ns/app"), entry("r.io:5000/ns"));
        assert_eq!(found(&keyring, "r.io:5000/nsx/app"), None);
        assert_eq!(found(&keyring, "x.r.io/ns/app"), None);
    }

    #[test]
    fn globs_match_labels_of_the_host() {
        let keyring = Keyring::new(set("s", &["*.example.com", "a*c.*.net:1"]));
        assert!(found(&keyring, "r.example.com/a").is_some());
        assert!(found(&keyring, "abc.x.net:1/a").is_some());
        assert!(found(&keyring, "ac.x.net:1/a").is_some());
        for other in ["x.r.example.com/a", "example.com/a", "ab.x.net:1/a", "abc.x.net/a"] {
            assert_eq!(found(&keyring, other), None, "{other}");
        }
    }

    #[test]
    fn docker_hub_has_its_historic_key() {
        let keyring = Keyring::new(set("s", &["https://index.docker.io/v1/"]));
        for name in ["busybox", "docker.io/a/b", "index.docker.io/a/b"] {
            assert!(found(&keyring, name).is_some(), "{name}");
        }
        assert_eq!(found(&keyring, "quay.io/a/b"), None);
        let scheme = Keyring::new(set("s", &["http://r.io/v2/"]));
        assert!(found(&scheme, "r.io/a").is_some());
    }

    #[test]
    fn first_source_and_first_set_win() {
        let mut first = set("a", &["r.io"]);
        add(&mut first, "z", &["r.io", "q.io"]);
        let mut keyring = Keyring::new(first);
        keyring.push(set("cluster", &["r.io/ns", "p.io"]));
        assert_eq!(found(&keyring, "r.io/ns/app").unwrap(), "a, entry \"r.io\"");
        assert_eq!(found(&keyring, "q.io/x").unwrap(), "z, entry \"q.io\"");
        assert_eq!(found(&keyring, "p.io/x").unwrap(), "cluster, entry \"p.io\"");
    }

    #[test]
    fn invalid_entry_spoils_its_own_repositories_only() {
        let mut set = set("s", &["q.io"]);
        let text = br#"{"auths":{"r.io":{"auth":"!"}}}"#;
        set.add("bad", ConfigFormat::DockerConfigJson, text).unwrap();
        let keyring = Keyring::new(set);
        assert!(found(&keyring, "q.io/a").is_some());
        let error = keyring.find(&Repository::parse("r.io/a").unwrap()).unwrap_err();
        assert!(
            error.to_string().starts_with("the credential in bad, entry \"r.io\", is invalid: ")
        );
    }
}
