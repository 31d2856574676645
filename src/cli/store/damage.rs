//! `--skip-damaged` of `store backup` and `store export`.

use std::io::Read;

use clap::Args;

use crate::store::{ArchiveReader, MissingEntry};
use crate::telemetry::log::escaped;

/// Flags for damaged stores.
#[derive(Debug, Args)]
pub(super) struct DamageOptions {
    /// Leave out what cannot be read.
    ///
    /// Names what is missing, keeps all the rest, and exits with code 1 if anything is missing. If
    /// the structure of the data file is damaged, saves what its index or its log still reach.
    #[arg(long)]
    skip_damaged: bool,
}

/// The treatment of damaged values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DamagePolicy {
    /// The command fails.
    Refuse,
    /// The rest is kept.
    Skip,
}

impl DamageOptions {
    /// The selected policy.
    pub(super) fn policy(&self) -> DamagePolicy {
        if self.skip_damaged { DamagePolicy::Skip } else { DamagePolicy::Refuse }
    }
}

impl DamagePolicy {
    /// Applies the policy to the reader of a backup.
    pub(super) fn apply<R: Read>(self, archive: ArchiveReader<R>) -> ArchiveReader<R> {
        match self {
            Self::Refuse => archive,
            Self::Skip => archive.skipping_damaged(),
        }
    }
}

/// Prints the name of a missing entry.
pub(super) fn report(MissingEntry { key, revision }: &MissingEntry) {
    let place = match revision.0 {
        0 => "its place is unknown".to_owned(),
        revision => format!("written by revision {revision}"),
    };
    eprintln!("missing: {}, {place}", escaped(key.as_str()));
}
