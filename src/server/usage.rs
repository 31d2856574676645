//! Keeps the gauges of what is stored: counts everything once after the start, then what has changed, and tells the names
//! of the largest objects in the log. All of it happens beside the requests and takes a small part of the time, so that
//! the gauges are some seconds behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time;

use crate::api::GROUP;
use crate::resources::usage::{Large, StoredResource, Usage};
use crate::store::{Backend, DiskUsage, FileStats, Scan, ScanProgress, Scanner, StoreError};
use crate::telemetry::OnChange;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::usage::{FileUsage, ResourceLabels, ResourceUsage};

/// The shortest time between two looks at what has changed.
const REST: Duration = Duration::from_secs(5);
/// The longest, where nothing is written.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long is rested after a failure.
const REST_OF_FAILURE: Duration = Duration::from_secs(600);
/// After a step this many times as long as it took is rested: counting takes a quarter of a processor, and of the disk.
const STEP_RESTS: u32 = 3;
/// The same for reading the whole file, which cannot be done in steps, and the shortest time until it is read again.
const FILE_RESTS: u32 = 500;
const REST_OF_FILE: Duration = Duration::from_secs(600);
/// The size of a page of the file, in bytes.
const PAGE: u64 = 4096;

/// Counts for ever. Without `disk`, the gauges of the file stay unset.
pub(super) async fn run(
    scan: Arc<dyn Scan>,
    disk: Option<Arc<dyn DiskUsage>>,
    backend: Backend,
    metrics: Arc<Metrics>,
) {
    let scanner = scan.scanner(StoredResource::ALL.map(StoredResource::prefix).into());
    let usage = Usage::default();
    let mut counter = Counter { scanner, disk, backend, usage, logged: Default::default(), used: None };
    loop {
        let looked;
        (counter, looked) = counter.look(&metrics).await;
        let rest = match looked {
            Ok(()) => REST,
            Err(why) => {
                tracing::warn!(error = %why, "the stored objects cannot be counted");
                REST_OF_FAILURE
            }
        };
        time::sleep(rest).await;
        // Whether something was written or not makes no difference: compaction is no change, and moves gauges too.
        drop(time::timeout(LONGEST_REST, counter.scanner.changed()).await);
    }
}

struct Counter {
    scanner: Box<dyn Scanner>,
    disk: Option<Arc<dyn DiskUsage>>,
    backend: Backend,
    usage: Usage,
    logged: [LoggedLargest; StoredResource::ALL.len()],
    used: Option<Used>,
}

/// What of the file holds something.
#[derive(Clone, Copy)]
struct Used {
    bytes: u64,
    /// When that is looked at again.
    until: Instant,
}

/// The name and size of the largest object that was logged.
type LoggedLargest = OnChange<(String, u64)>;

/// Records the largest object. Returns true if it is to be logged: it is much larger than the logged
/// one, or that one is gone.
fn record_largest(logged: &mut LoggedLargest, largest: Large<'_>) -> bool {
    logged.record_if((largest.name.to_owned(), largest.bytes), |(name, bytes), (last_name, last_bytes)| {
        *bytes > last_bytes + last_bytes / 4 || (name != last_name && bytes < last_bytes)
    })
}

impl Counter {
    /// Counts all that has changed, and sets the gauges.
    async fn look(mut self, metrics: &Metrics) -> (Self, Result<(), StoreError>) {
        loop {
            let (counter, step, took) = self.aside(|counter| counter.scanner.step(&mut counter.usage)).await;
            self = counter;
            match step {
                Ok(ScanProgress::More) => time::sleep(took * STEP_RESTS).await,
                Ok(ScanProgress::Done) if self.usage.is_vague() => self.scanner.restart(),
                Ok(ScanProgress::Done) => break,
                Err(why) => return (self, Err(why)),
            }
        }
        self.show_stored(metrics);
        let (counter, file, _) = self.aside(Self::file).await;
        self = counter;
        let shown = file.map(|file| file.map_or((), |file| show_file(metrics, self.backend, file, self.used)));
        (self, shown)
    }

    /// Does something that blocks, and tells how long that took.
    async fn aside<T: Send + 'static>(mut self, work: fn(&mut Self) -> T) -> (Self, T, Duration) {
        let start = Instant::now();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut self);
            (self, done, start.elapsed())
        });
        match done.await {
            Ok(done) => done,
            // Panics of the store are caught inside of it, so what is left is a runtime that shuts down.
            Err(_) => std::future::pending().await,
        }
    }

    /// The present state of the file, and its used bytes as of the last reading of them.
    fn file(&mut self) -> Result<Option<FileStats>, StoreError> {
        let Some(disk) = &self.disk else { return Ok(None) };
        let start = Instant::now();
        if self.used.is_none_or(|used| used.until <= start) {
            let bytes = disk.used_bytes()?;
            let rest = (start.elapsed() * FILE_RESTS).max(REST_OF_FILE);
            self.used = Some(Used { bytes, until: start + rest });
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
            metrics.usage().stored(ResourceLabels { group: GROUP, resource: name }, stored);
            if let Some(largest) = largest.filter(|largest| record_largest(logged, *largest)) {
                let (bytes, largest, objects) = (largest.bytes, largest.name, amount.objects);
                tracing::info!(bytes, resource = name, name = largest, objects, "the largest of the stored objects");
            }
        }
        metrics.usage().tag_events(self.usage.tag_events);
    }
}

fn show_file(metrics: &Metrics, backend: Backend, file: FileStats, used: Option<Used>) {
    let FileStats { size, available, revision, compacted } = file;
    let (bytes, available_bytes) = (size.allocated, available);
    metrics.usage().file(FileUsage {
        backend: backend.name(),
        bytes,
        available_bytes,
        revision: revision.0,
        compacted: compacted.0,
    });
    if let Some(used) = used {
        metrics.usage().free_pages(size.allocated.saturating_sub(used.bytes) / PAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_logged_when_it_grows_much_or_disappears() {
        let mut logged = LoggedLargest::default();
        let mut is_news = |name, bytes| record_largest(&mut logged, Large { name, bytes });
        assert!(is_news("a", 100));
        assert!(!is_news("a", 100));
        assert!(!is_news("b", 120), "hardly larger");
        assert!(is_news("b", 130));
        assert!(!is_news("b", 90), "it is still the largest");
        assert!(is_news("c", 90), "b is gone");
    }
}
