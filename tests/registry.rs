//! The client for registries against registries on real sockets: honest ones, and ones that lie,
//! never end, or lead elsewhere.

#[path = "support/registry/mod.rs"]
mod registry_server;

#[path = "registry/addresses.rs"]
mod addresses;
#[path = "registry/authentication.rs"]
mod authentication;
#[path = "registry/content.rs"]
mod content;
#[path = "registry/environment.rs"]
mod environment;
#[path = "registry/memory.rs"]
mod memory;
#[path = "registry/mirrors.rs"]
mod mirrors;
#[path = "registry/pace.rs"]
mod pace;
#[path = "registry/redirects.rs"]
mod redirects;
#[path = "registry/site.rs"]
mod site;
#[path = "registry/tags.rs"]
mod tags;
#[path = "registry/tls.rs"]
mod tls;
#[path = "registry/tokens.rs"]
mod tokens;
