//! Scenarios, one file per kind. Each file creates its comparisons for a filled store; comparisons
//! take alternating turns.

use clap::ValueEnum;

use crate::bench::Bench;
use crate::comparison::Comparison;

mod admission;
mod beside_writes;
#[cfg(feature = "etcd")]
mod etcd;
mod gets;
mod http2;
#[cfg(feature = "etcd")]
mod kube_apiserver;
mod large_stream;
mod lists;
mod mappings;
mod start;
mod watchers;

/// Kind of scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// GETs over HTTP/2 as kube-apiserver sends them.
    Http2,
    /// GETs at full speed.
    Gets,
    /// Mappings at full speed.
    Mappings,
    /// GETs at a fixed rate beside mappings.
    BesideWrites,
    /// Pushes to a stream of many tags with long histories, and edits of one of its tags.
    LargeStream,
    /// Mappings and GETs with and without admission webhooks.
    Admission,
    /// All images in one list and in pages.
    Lists,
    /// Events for many watchers.
    Watchers,
    /// Time from process start to readiness.
    Start,
    /// GETs, mappings and the start of servers on etcd. Runs only if it is named.
    #[cfg(feature = "etcd")]
    Etcd,
    /// GETs through a real kube-apiserver, beside a ConfigMap. Runs only if it is named.
    #[cfg(feature = "etcd")]
    KubeApiserver,
}

type Make = for<'a> fn(&'a Bench) -> anyhow::Result<Vec<Comparison<'a>>>;

/// Order of the turns.
const KINDS: &[(Kind, Make)] = &[
    (Kind::Http2, http2::comparisons),
    (Kind::Gets, gets::comparisons),
    (Kind::Mappings, mappings::comparisons),
    (Kind::BesideWrites, beside_writes::comparisons),
    (Kind::LargeStream, large_stream::comparisons),
    (Kind::Admission, admission::comparisons),
    (Kind::Lists, lists::comparisons),
    (Kind::Watchers, watchers::comparisons),
    (Kind::Start, start::comparisons),
    #[cfg(feature = "etcd")]
    (Kind::Etcd, etcd::comparisons),
    #[cfg(feature = "etcd")]
    (Kind::KubeApiserver, kube_apiserver::comparisons),
];

/// Kinds that need programs which a bare checkout does not have.
const BY_NAME: &[Kind] = &[
    #[cfg(feature = "etcd")]
    Kind::Etcd,
    #[cfg(feature = "etcd")]
    Kind::KubeApiserver,
];

/// Comparisons of all selected kinds.
///
/// # Errors
/// A server does not start, or a response is wrong.
pub(crate) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let wanted = &bench.options.only;
    let mut comparisons = Vec::new();
    for (kind, make) in KINDS {
        let is_default = wanted.is_empty() && !BY_NAME.contains(kind);
        if is_default || wanted.contains(kind) {
            comparisons.extend(make(bench)?);
        }
    }
    Ok(comparisons)
}
