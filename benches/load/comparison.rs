//! Comparisons, which take alternating turns.

use std::fmt;

use anyhow::Context;

use crate::figures::Figures;
use crate::report::{Report, print_head};

/// Side of a comparison that takes a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Real server.
    Ours,
    /// Server that sends the bytes of one response from memory.
    HttpBaseline,
    /// Server that sends the bytes of the response of each image from memory.
    HttpAllImages,
    /// redb alone with its default commits: after a crash it reads the whole file.
    Redb,
    /// redb alone with quick-repair commits, as the store uses them.
    RedbQuickRepair,
    /// Real server with less work: a stream with fewer tags.
    SmallStream,
    /// Real server on the embedded store.
    Embedded,
    /// etcd alone.
    Etcd,
    /// Real server without admission webhooks.
    NoWebhooks,
    /// ConfigMap in the same kube-apiserver.
    #[cfg(feature = "etcd")]
    ConfigMap,
}

impl Side {
    /// Baselines of the real server.
    pub(crate) const RIVALS: &[Self] = &[
        Self::HttpBaseline,
        Self::HttpAllImages,
        Self::Redb,
        Self::RedbQuickRepair,
        Self::SmallStream,
        Self::Embedded,
        Self::Etcd,
        Self::NoWebhooks,
        #[cfg(feature = "etcd")]
        Self::ConfigMap,
    ];
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::HttpBaseline => "http",
            Self::HttpAllImages => "http-n",
            Self::Redb => "redb",
            Self::RedbQuickRepair => "redb-qr",
            Self::SmallStream => "small",
            Self::Embedded => "embed",
            Self::Etcd => "etcd",
            Self::NoWebhooks => "none",
            #[cfg(feature = "etcd")]
            Self::ConfigMap => "cmap",
        })
    }
}

/// One side of a scenario.
pub(crate) struct Comparison<'a> {
    /// Scenario.
    pub(crate) scenario: &'static str,
    /// Side.
    pub(crate) side: Side,
    /// Scenario whose baselines this one is compared with; mostly itself.
    pub(crate) yardstick: &'static str,
    /// Runs one turn.
    pub(crate) turn: Box<dyn Fn() -> anyhow::Result<Figures> + 'a>,
}

impl<'a> Comparison<'a> {
    /// A side of a scenario that has its own baselines.
    pub(crate) fn new(
        scenario: &'static str,
        side: Side,
        turn: impl Fn() -> anyhow::Result<Figures> + 'a,
    ) -> Self {
        Self { scenario, side, yardstick: scenario, turn: Box::new(turn) }
    }
}

/// Runs every comparison once per turn. Every second turn is in reverse order, so that no
/// comparison always follows the same one.
///
/// # Errors
/// The error of the first comparison that fails.
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
