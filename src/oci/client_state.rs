//! `ClientState`: the parts of a client that its sessions share.

use super::known_registries::KnownRegistries;
use super::registries_conf::RegistriesConf;
use super::token_cache::TokenCache;
use super::transport::HttpTransport;

/// Connections, pace, tokens and rules of all imports of a process.
pub(super) struct ClientState {
    pub(super) transport: HttpTransport,
    /// Rules of `--registries-config`.
    pub(super) rules: RegistriesConf,
    pub(super) known: KnownRegistries,
    pub(super) tokens: TokenCache,
}
