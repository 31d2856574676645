//! What takes turns.

use std::fmt;

use anyhow::Context;

use crate::figures::Figures;
use crate::report::{Report, print_head};

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The real server.
    Ours,
    /// The server that sends bytes from memory.
    HttpBaseline,
    /// redb alone, with its usual commits: after a crash it reads the whole file.
    Redb,
    /// redb alone, with commits that spare it that, as the store makes them.
    RedbQuickRepair,
    /// The real server, with less to do: a stream of fewer tags.
    SmallStream,
}

impl Side {
    /// Those that the real server is compared with.
    pub(crate) const RIVALS: [Self; 4] =
        [Self::HttpBaseline, Self::Redb, Self::RedbQuickRepair, Self::SmallStream];
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::HttpBaseline => "http",
            Self::Redb => "redb",
            Self::RedbQuickRepair => "redb-qr",
            Self::SmallStream => "small",
        })
    }
}

/// One side of a scenario.
pub(crate) struct Comparison<'a> {
    /// What is measured.
    pub(crate) scenario: &'static str,
    /// Whose turn it is.
    pub(crate) side: Side,
    /// The scenario whose rivals this one is compared with; mostly itself.
    pub(crate) yardstick: &'static str,
    /// Takes one turn.
    pub(crate) turn: Box<dyn Fn() -> anyhow::Result<Figures> + 'a>,
}

impl<'a> Comparison<'a> {
    /// A side of a scenario that is compared with its own rivals.
    pub(crate) fn new(
        scenario: &'static str,
        side: Side,
        turn: impl Fn() -> anyhow::Result<Figures> + 'a,
    ) -> Self {
        Self { scenario, side, yardstick: scenario, turn: Box::new(turn) }
    }
}

/// Runs every comparison once a turn, every second turn in reverse, so that nothing always follows the same.
///
/// # Errors
/// Of the first comparison that fails.
pub(crate) fn take_turns(
    turns: usize,
    images: usize,
    comparisons: &[Comparison<'_>],
    report: &mut Report,
) -> anyhow::Result<()> {
    print_head(images);
    for number in 1..=turns {
        let mut order: Vec<&Comparison<'_>> = comparisons.iter().collect();
        if number % 2 == 0 {
            order.reverse();
        }
        for comparison in order {
            let Comparison { scenario, side, .. } = comparison;
            let figures = (comparison.turn)()
                .with_context(|| format!("turn {number}, {scenario}, {side}"))?;
            report.add(images, number, comparison, figures);
        }
    }
    Ok(())
}
