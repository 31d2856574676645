//! Flags of the import controller.

use std::time::Duration;

use clap::Args;

use crate::domain::import::RetryPolicy;
use crate::meta::duration;

/// Flags of the import controller.
#[derive(Clone, Copy, Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "Image imports")]
pub struct Options {
    /// Interval between checks of tags with importPolicy.scheduled.
    ///
    /// Each check happens up to 20 % earlier or later. It costs one request to the registry, and
    /// writes nothing if the image is the same.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration::positive)]
    pub scheduled_import_interval: Duration,
}

impl From<Options> for RetryPolicy {
    fn from(options: Options) -> Self {
        Self::with_interval(options.scheduled_import_interval)
    }
}
