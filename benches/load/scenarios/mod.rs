//! Everything that is measured, a file a kind. Each makes its comparisons for a filled store; comparisons take turns.

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

/// A kind of scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// GETs as fast as they are answered.
    Gets,
    /// Mappings as fast as they are answered.
    Mappings,
    /// GETs at a fixed rate while mappings are written.
    BesideWrites,
    /// Pushes to a stream of many tags with long histories, and edits of one of its tags.
    LargeStream,
    /// All images in one list, and in pages.
    Lists,
    /// Events for many watchers.
    Watchers,
    /// From the start of the process to readiness.
    Start,
}

type Make = for<'a> fn(&'a Bench) -> anyhow::Result<Vec<Comparison<'a>>>;

/// In the order in which they take their turns.
const KINDS: [(Kind, Make); 7] = [
    (Kind::Gets, gets::comparisons),
    (Kind::Mappings, mappings::comparisons),
    (Kind::BesideWrites, beside_writes::comparisons),
    (Kind::LargeStream, large_stream::comparisons),
    (Kind::Lists, lists::comparisons),
    (Kind::Watchers, watchers::comparisons),
    (Kind::Start, start::comparisons),
];

/// The comparisons of all kinds that are wanted.
///
/// # Errors
/// Something does not start, or gives a wrong answer.
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
