//! Gauges of the stored objects and of the data file.
//!
//! All objects are counted once after the start, then only changes. Counting takes a small part of
//! the time, beside the requests, so that the gauges are some seconds behind. The names of the
//! largest objects are logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::time;
use tracing::{info, warn};

use super::controller::Controller;
use crate::api::GROUP;
use crate::resources::usage::{LargestObject, StoredResource, Usage};
use crate::store::{Backend, DiskUsage, FileStats, Scan, ScanProgress, Scanner, StoreError};
use crate::telemetry::OnChange;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::usage_metrics::{FileUsage, ResourceLabels, ResourceUsage};

/// The shortest time between two counts of changes.
const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// The longest time between two counts, while nothing is written.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
/// The time until the next attempt after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(600);
/// The pause after a step of counting, as a multiple of the step's duration: a quarter of a
/// processor, and of the disk, is used.
const PAUSES_PER_STEP: u32 = 3;
/// The pause after a read of the whole file, as a multiple of its duration.
const PAUSES_PER_FILE: u32 = 500;
/// The shortest time between two reads of the whole file.
const MIN_FILE_INTERVAL: Duration = Duration::from_secs(600);
/// The size of a page of the file, in bytes.
const PAGE: u64 = 4096;

/// Keeps the gauges current.
pub(super) struct UsageController {
    pub(super) scan: Arc<dyn Scan>,
    /// The disk usage; without it, the gauges of the file stay unset.
    pub(super) disk: Option<Arc<dyn DiskUsage>>,
    pub(super) backend: Backend,
    pub(super) metrics: Arc<Metrics>,
}

impl Controller for UsageController {
    fn name(&self) -> &'static str {
        "usage"
    }

    fn run(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.count_at_intervals())
    }
}

impl UsageController {
    /// Counts at intervals. Logs failures. Never returns.
    async fn count_at_intervals(&self) {
        let mut counter = UsageCounter {
            scanner: self.scan.scanner(StoredResource::ALL.map(StoredResource::prefix).into()),
            disk: self.disk.clone(),
            backend: self.backend,
            usage: Usage::default(),
            logged: Default::default(),
            used: None,
        };
        loop {
            let counted;
            (counter, counted) = counter.count(&self.metrics).await;
            let delay = match counted {
                Ok(()) => MIN_INTERVAL,
                Err(error) => {
                    warn!(%error, "the stored objects cannot be counted");
                    RETRY_DELAY
                }
            };
            time::sleep(delay).await;
            // Compaction moves gauges too and is no change, so both outcomes lead to the next
            // count.
            drop(time::timeout(MAX_INTERVAL, counter.scanner.changed()).await);
        }
    }
}

/// The counts of one run.
struct UsageCounter {
    scanner: Box<dyn Scanner>,
    disk: Option<Arc<dyn DiskUsage>>,
    backend: Backend,
    usage: Usage,
    logged: [LoggedLargest; StoredResource::ALL.len()],
    used: Option<UsedBytes>,
}

/// The bytes of the file that hold something.
#[derive(Clone, Copy)]
struct UsedBytes {
    bytes: u64,
    /// The time of the next read of the file.
    until: Instant,
}

/// The name and size of the largest object that was logged.
type LoggedLargest = OnChange<(String, u64)>;

/// Records the largest object. Returns true if it is to be logged: it is much larger than the
/// logged one, or that one is gone.
fn record_largest(logged: &mut LoggedLargest, largest: LargestObject<'_>) -> bool {
    logged.record_if(
        (largest.name.to_owned(), largest.bytes),
        |(name, bytes), (last_name, last_bytes)| {
            *bytes > last_bytes + last_bytes / 4 || (name != last_name && bytes < last_bytes)
        },
    )
}

impl UsageCounter {
    /// Counts all changes, and sets the gauges.
    async fn count(mut self, metrics: &Metrics) -> (Self, Result<(), StoreError>) {
        loop {
            let (counter, step, took) =
                self.unblocked(|counter| counter.scanner.step(&mut counter.usage)).await;
            self = counter;
            match step {
                Ok(ScanProgress::More) => time::sleep(took * PAUSES_PER_STEP).await,
                Ok(ScanProgress::Done) if self.usage.needs_recount() => self.scanner.restart(),
                Ok(ScanProgress::Done) => break,
                Err(why) => return (self, Err(why)),
            }
        }
        self.show_stored(metrics);
        let (counter, file, _) = self.unblocked(Self::file).await;
        self = counter;
        let shown = file
            .map(|file| file.map_or((), |file| show_file(metrics, self.backend, file, self.used)));
        (self, shown)
    }

    /// Runs blocking work on a thread for it. Returns its result and its duration.
    async fn unblocked<T: Send + 'static>(
        mut self,
        work: fn(&mut Self) -> T,
    ) -> (Self, T, Duration) {
        let start = Instant::now();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut self);
            (self, done, start.elapsed())
        });
        match done.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// The current state of the file. Its used bytes are read less often.
    fn file(&mut self) -> Result<Option<FileStats>, StoreError> {
        let Some(disk) = &self.disk else { return Ok(None) };
        let start = Instant::now();
        if self.used.is_none_or(|used| used.until <= start) {
            let bytes = disk.used_bytes()?;
            let interval = (start.elapsed() * PAUSES_PER_FILE).max(MIN_FILE_INTERVAL);
            self.used = Some(UsedBytes { bytes, until: start + interval });
        }
        disk.file_stats().map(Some)
    }

    fn show_stored(&mut self, metrics: &Metrics) {
        for (resource, logged) in StoredResource::ALL.into_iter().zip(&mut self.logged) {
            let amount = self.usage.of(resource);
            let largest = amount.largest();
            let stored = ResourceUsage {
                objects: amount.objects,
                bytes: amount.bytes,
                largest_bytes: largest.map(|large| large.bytes),
            };
            let name = resource.name();
            metrics.usage().set_resource(ResourceLabels { group: GROUP, resource: name }, stored);
            if let Some(largest) = largest.filter(|largest| record_largest(logged, *largest)) {
                let (bytes, largest, objects) = (largest.bytes, largest.name, amount.objects);
                info!(
                    bytes,
                    resource = name,
                    name = largest,
                    objects,
                    "the largest of the stored objects"
                );
            }
        }
        metrics.usage().set_tag_events(self.usage.tag_events);
    }
}

fn show_file(metrics: &Metrics, backend: Backend, file: FileStats, used: Option<UsedBytes>) {
    let FileStats { size, available, reserve, revision, compacted, .. } = file;
    let (bytes, available_bytes) = (size.allocated, available);
    metrics.usage().set_file(FileUsage {
        backend: backend.name(),
        bytes,
        available_bytes,
        reserve_bytes: reserve,
        revision: revision.0,
        compacted: compacted.0,
    });
    if let Some(used) = used {
        metrics.usage().set_free_pages(size.allocated.saturating_sub(used.bytes) / PAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_logged_when_it_grows_much_or_disappears() {
        let mut logged = LoggedLargest::default();
        let mut is_news = |name, bytes| record_largest(&mut logged, LargestObject { name, bytes });
        assert!(is_news("a", 100));
        assert!(!is_news("a", 100));
        assert!(!is_news("b", 120), "hardly larger");
        assert!(is_news("b", 130));
        assert!(!is_news("b", 90), "it is still the largest");
        assert!(is_news("c", 90), "b is gone");
    }
}
