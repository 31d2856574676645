//! Everything that is measured, a file a kind. Each makes its contests for a filled store; contests take turns.

use clap::ValueEnum;

use crate::bench::Bench;
use crate::contest::Contest;

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

type Make = for<'a> fn(&'a Bench) -> anyhow::Result<Vec<Contest<'a>>>;

/// In the order in which they take their turns.
const KINDS: [(Kind, Make); 7] = [
    (Kind::Gets, gets::contests),
    (Kind::Mappings, mappings::contests),
    (Kind::BesideWrites, beside_writes::contests),
    (Kind::LargeStream, large_stream::contests),
    (Kind::Lists, lists::contests),
    (Kind::Watchers, watchers::contests),
    (Kind::Start, start::contests),
];

/// The contests of all kinds that are wanted.
///
/// # Errors
/// Something does not start, or gives a wrong answer.
pub(crate) fn contests(bench: &Bench) -> anyhow::Result<Vec<Contest<'_>>> {
    let wanted = &bench.options.only;
    let mut contests = Vec::new();
    for (kind, make) in KINDS {
        if wanted.is_empty() || wanted.contains(&kind) {
            contests.extend(make(bench)?);
        }
    }
    Ok(contests)
}
