//! Name resolution that refuses addresses, so that a name cannot lead around the guard.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::AddressGuard;

/// Resolver of the names of registries.
pub(super) struct GuardedResolver(pub(super) Arc<AddressGuard>);

/// A name without addresses.
#[derive(Clone, Debug)]
pub(super) struct LookupError {
    host: String,
    reason: &'static str,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move { resolve(&guard, name.as_str()).await })
    }
}

/// Returns the addresses of a name that the guard permits.
async fn resolve(
    guard: &AddressGuard,
    host: &str,
) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
    let no_such_host = || LookupError { host: host.to_owned(), reason: "no such host" };
    let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| {
        // The kind of the error of getaddrinfo is not public.
        let text = error.to_string();
        match text.contains("Name or service not known") || text.contains("No address") {
            true => no_such_host(),
            false => LookupError { host: host.to_owned(), reason: "server misbehaving" },
        }
    })?;
    let all: Vec<SocketAddr> = found.collect();
    let mut open = Vec::new();
    let mut refused = None;
    for address in all {
        match guard.check(address.ip()) {
            Ok(()) => open.push(address),
            Err(reason) => refused = Some(reason),
        }
    }
    match (open.is_empty(), refused) {
        (false, _) => Ok(Box::new(open.into_iter())),
        (true, Some(reason)) => Err(reason.into()),
        (true, None) => Err(no_such_host().into()),
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lookup {}: {}", self.host, self.reason)
    }
}

impl std::error::Error for LookupError {}

#[cfg(test)]
mod tests {
    use super::super::guard::BlockedAddress;
    use super::*;

    #[tokio::test]
    async fn names_of_refused_addresses_are_refused() {
        let error = resolve(&AddressGuard::default(), "localhost").await.err().unwrap();
        assert_eq!(error.downcast_ref(), Some(&BlockedAddress::Loopback));
        let guard = AddressGuard::new(vec!["127.0.0.0/8".parse().unwrap()], Vec::new());
        let found: Vec<SocketAddr> = resolve(&guard, "localhost").await.unwrap().collect();
        assert!(!found.is_empty() && found.iter().all(SocketAddr::is_ipv4), "{found:?}");
    }
}
