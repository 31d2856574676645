//! Scenarios, one file per kind. Each file creates its comparisons for a filled store; comparisons
//! take alternating turns.

use clap::ValueEnum;

use crate::bench::Bench;
use crate::comparison::Comparison;

mod beside_writes;
mod gets;
mod large_stream;
mod lists;
mod mappings;
mod start;
mod watchers;

/// Kind of scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// GETs at full speed.
    Gets,
    /// Mappings at full speed.
    Mappings,
    /// GETs at a fixed rate beside mappings.
    BesideWrites,
    /// Pushes to a stream of many tags with long histories, and edits of one of its tags.
    LargeStream,
    /// All images in one list and in pages.
    Lists,
    /// Events for many watchers.
    Watchers,
    /// Time from process start to readiness.
    Start,
}

type Make = for<'a> fn(&'a Bench) -> anyhow::Result<Vec<Comparison<'a>>>;

/// Order of the turns.
const KINDS: [(Kind, Make); 7] = [
    (Kind::Gets, gets::comparisons),
    (Kind::Mappings, mappings::comparisons),
    (Kind::BesideWrites, beside_writes::comparisons),
    (Kind::LargeStream, large_stream::comparisons),
    (Kind::Lists, lists::comparisons),
    (Kind::Watchers, watchers::comparisons),
    (Kind::Start, start::comparisons),
];

/// Comparisons of all selected kinds.
///
/// # Errors
/// A server does not start, or a response is wrong.
pub(crate) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let wanted = &bench.options.only;
    let mut comparisons = Vec::new();
    for (kind, make) in KINDS {
        if wanted.is_empty() || wanted.contains(&kind) {
            comparisons.extend(make(bench)?);
        }
    }
    Ok(comparisons)
}
