//! Watcher of a run: it follows one collection from the start to the end, through many watches on
//! one server after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};

use super::record::{Collection, Event, Revision, Watch};
use super::site::Site;
use super::wire::{self, Line};

/// Pause after a failed watch.
const PAUSE: Duration = Duration::from_millis(50);
/// Shortest and longest watch, in seconds.
const SECONDS: std::ops::Range<u64> = 2..15;

pub(crate) struct Watcher {
    site: Arc<Site>,
    random: Rng,
    collection: Collection,
    /// The server of the next watch.
    server: usize,
    /// The last revision of the collection, once the run is over.
    last: Receiver<Option<Revision>>,
    watches: Vec<Watch>,
}

impl Watcher {
    pub(crate) fn new(
        site: Arc<Site>,
        random: Rng,
        collection: Collection,
        server: usize,
        last: Receiver<Option<Revision>>,
    ) -> Self {
        Self { site, random, collection, server, last, watches: Vec::new() }
    }

    /// Watches from a revision until the last one of the run.
    pub(crate) async fn run(mut self, start: Revision) -> Vec<Watch> {
        let mut after = start;
        while !self.is_over(after) {
            if let Err(why) = self.watch(after).await {
                self.site.count_failure(format!("watch: {:?}", why.kind()));
                // Another server may work while this one is down.
                self.server = (self.server + 1) % self.site.size();
                sleep(PAUSE).await;
            }
            after = self.watches.last().map_or(after, Watch::end);
        }
        self.watches
    }

    fn is_over(&self, reached: Revision) -> bool {
        self.last.borrow().is_some_and(|last| last <= reached)
    }

    async fn watch(&mut self, after: Revision) -> io::Result<()> {
        let seconds = self.random.u64(SECONDS);
        let request = wire::watch(self.collection, after, seconds);
        let client = self.site.server(self.server);
        let mut response = timeout(self.site.patience, client.begin_watch(request)).await??;
        if response.head.status != 200 {
            return Err(io::Error::other(format!("status {}", response.head.status)));
        }
        let (events, bookmarks) = (Vec::new(), Vec::new());
        self.watches.push(Watch { collection: self.collection, after, events, bookmarks });
        let mut last = self.last.clone();
        while !self.is_over(self.watches.last().map_or(after, Watch::end)) {
            let line = tokio::select! {
                line = response.try_next() => line?,
                // The end of the run may have been reached already. A partly read event is lost with
                // this watch, and comes again with the next one.
                Ok(()) = last.changed() => return Ok(()),
            };
            let Some(line) = line else { return Ok(()) };
            self.record(&line)?;
        }
        Ok(())
    }

    fn record(&mut self, line: &Value) -> io::Result<()> {
        let watch = self.watches.last_mut().expect("the watch was recorded when it started");
        match Line::of(line) {
            Line::Event(change, object, version) => {
                let at = self.site.now();
                watch.events.push(Event { at, change, object, version });
            }
            Line::Bookmark(revision) => watch.bookmarks.push((revision, watch.events.len())),
            Line::Error(410, message) => panic!("nothing is compacted during a run: {message}"),
            Line::Error(code, message) => {
                return Err(io::Error::other(format!("{code} {message}")));
            }
        }
        Ok(())
    }
}
