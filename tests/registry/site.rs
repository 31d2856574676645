//! Clients, sessions and names for the tests.

use std::time::Duration;

use imagestream_apiserver::oci::{
    ConfigFormat, CredentialSet, Keyring, ManifestReference, Options, PacingOptions, PullSession,
    PullTimeouts, RegistryClient, Repository,
};
use serde_json::json;

use crate::registry_server::RegistryServer;

/// Time limits that tests of slow servers reach quickly.
pub(crate) const SHORT: PullTimeouts = PullTimeouts {
    connect: Duration::from_secs(5),
    idle: Duration::from_millis(300),
    total: Duration::from_millis(900),
    handshake: Duration::from_millis(600),
};

/// Options that open the loopback network, with a rate of requests that no test reaches.
pub(crate) fn options() -> Options {
    let network = "127.0.0.0/8".parse().expect("it is a network");
    let registry_requests_per_second = "10000".parse().expect("it is a rate");
    let pacing = PacingOptions { registry_requests_per_second, ..PacingOptions::default() };
    Options { import_allow_cidrs: vec![network], pacing, ..Options::default() }
}

pub(crate) fn client(options: &Options) -> RegistryClient {
    RegistryClient::new(options, PullTimeouts::default(), Default::default())
        .expect("the options are valid")
}

/// A session without credentials of a namespace.
pub(crate) fn session() -> PullSession {
    client(&options()).session(Keyring::default())
}

/// A session with a password for each registry or repository.
pub(crate) fn session_with(source: &str, key: &str, user: &str, password: &str) -> PullSession {
    let auth = json!({"username": user, "password": password});
    client(&options()).session(keyring(source, key, &auth))
}

/// A keyring of one entry.
pub(crate) fn keyring(source: &str, key: &str, auth: &serde_json::Value) -> Keyring {
    let config = json!({"auths": {key: auth}}).to_string();
    let mut set = CredentialSet::default();
    set.add(source, ConfigFormat::DockerConfigJson, config.as_bytes()).expect("it is JSON");
    Keyring::new(set)
}

pub(crate) fn repository(server: &RegistryServer, path: &str) -> Repository {
    Repository::parse(&format!("{}/{path}", server.host())).expect("the name is valid")
}

pub(crate) fn tag(tag: &str) -> ManifestReference {
    ManifestReference::Tag(tag.parse().expect("the tag is valid"))
}

/// Asserts the text of an error, in which `HOST` stands for the server.
pub(crate) fn assert_text<T>(
    result: Result<T, imagestream_apiserver::oci::RegistryError>,
    server: &RegistryServer,
    expected: &str,
) {
    let text = result.err().expect("the request fails").to_string();
    assert_eq!(text.replace(&server.host(), "HOST"), expected);
}
