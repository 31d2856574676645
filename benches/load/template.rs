//! Rows that a mapping writes: those that the server's store received for the images of one stream,
//! with replaceable names, so that redb alone can write the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use bytes::Bytes;
use imagestream_apiserver::store::embedded::{Embedded, Options};
use imagestream_apiserver::store::{Event, Revision, Store};
use tokio::runtime::Builder;

use crate::corpus::{self, IMAGES_PER_STREAM};
use fastrand::Rng;

/// Number of the latest transactions that are searched for the stream. Concurrent clients
/// interleave the transactions of different streams.
const LATEST: u64 = 400 * (IMAGES_PER_STREAM as u64 + 1);

/// Transactions that push the images of a stream, in order.
pub(crate) struct Template(Vec<Vec<Row>>);

struct Row {
    /// Key up to the name.
    place: String,
    name: Name,
    value: Bytes,
}

#[derive(Clone, Copy)]
enum Name {
    Stream,
    Digest,
}

/// Key with its value.
pub(crate) type Put = (String, Bytes);

impl Template {
    /// Extracts the rows from a filled store of this number of images that no process has open.
    ///
    /// # Errors
    /// The store is unreadable, or the history of the stream is incomplete.
    pub(crate) fn learn(data: &Path, images: usize) -> anyhow::Result<Self> {
        // Last full stream, if any.
        let stream = corpus::stream_name((images / IMAGES_PER_STREAM).saturating_sub(1));
        let end = format!("/{stream}");
        let mut pushes = Vec::new();
        for events in
            latest(data, (images + images.div_ceil(IMAGES_PER_STREAM)) as u64)?.into_values()
        {
            // A transaction with the stream alone creates it.
            if events.len() > 1 && events.iter().any(|event| event.key().as_str().ends_with(&end)) {
                pushes.push(
                    events
                        .iter()
                        .map(|event| row(event, &stream))
                        .collect::<anyhow::Result<Vec<_>>>()?,
                );
            }
        }
        let wanted = IMAGES_PER_STREAM.min(images);
        ensure!(
            pushes.len() == wanted,
            "{stream} has {} pushes in the latest revisions, not {wanted}",
            pushes.len()
        );
        Ok(Self(pushes))
    }

    /// Number of images.
    pub(crate) fn images(&self) -> usize {
        self.0.len()
    }

    /// Rows of a push: of the image at this place in its stream, with new names.
    pub(crate) fn push(&self, image: usize, stream: &str, rng: &mut Rng) -> Vec<Put> {
        let hex: String = (0..4).map(|_| format!("{:016x}", rng.u64(..))).collect();
        let named = |row: &Row| match row.name {
            Name::Stream => (format!("{}{stream}", row.place), row.value.clone()),
            Name::Digest => (format!("{}sha256:{hex}", row.place), row.value.clone()),
        };
        self.0[image % self.0.len()].iter().map(named).collect()
    }

    /// Average size of the keys and values of a push in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let mut rng = Rng::with_seed(0);
        let rows = (0..self.images())
            .flat_map(|image| self.push(image, &corpus::stream_name(0), &mut rng));
        rows.map(|(key, value)| key.len() + value.len()).sum::<usize>() / self.images()
    }
}

/// Events of the latest revisions, at most this many revisions.
fn latest(data: &Path, revisions: u64) -> anyhow::Result<BTreeMap<Revision, Vec<Event>>> {
    let store = Embedded::open(Options::new(data)).context("cannot open the filled store")?;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let current = store.current().await?;
        let mut watch = store.watch("", Revision(current.0 - revisions.min(LATEST)));
        let mut found: BTreeMap<Revision, Vec<Event>> = BTreeMap::new();
        while watch.revision() < current {
            for event in
                watch.next().await.context("cannot read the history of the filled store")?.events
            {
                found.entry(event.revision()).or_default().push(event);
            }
        }
        Ok(found)
    })
}

fn row(event: &Event, stream: &str) -> anyhow::Result<Row> {
    let Event::Put { entry, .. } = event else {
        anyhow::bail!("a push deletes {}", event.key());
    };
    let (place, name) = entry.key.as_str().rsplit_once('/').context("a key has no name")?;
    let place = format!("{place}/");
    let name = if name == stream { Name::Stream } else { Name::Digest };
    Ok(Row { place, name, value: entry.value.clone() })
}
