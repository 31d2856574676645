//! What a mapping writes: the rows that the server's store received for the images of one stream, with room for other
//! names, so that redb alone can be given the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use bytes::Bytes;
use imagestream_apiserver::store::embedded::{Embedded, Options};
use imagestream_apiserver::store::{Event, Revision, Store};
use tokio::runtime::Builder;

use crate::corpus::{self, IMAGES_PER_STREAM};
use fastrand::Rng;

/// In how many of the latest transactions the stream is looked for. Those of one stream are spread by the clients that
/// push at the same time.
const LATEST: u64 = 400 * (IMAGES_PER_STREAM as u64 + 1);

/// The transactions that push the images of a stream, in order.
pub(crate) struct Template(Vec<Vec<Row>>);

struct Row {
    /// The key up to the name.
    place: String,
    name: Name,
    value: Bytes,
}

#[derive(Clone, Copy)]
enum Name {
    Stream,
    Digest,
}

/// A key with its value.
pub(crate) type Put = (String, Bytes);

impl Template {
    /// Learns from a store that was filled with so many images, and that nobody else has open.
    ///
    /// # Errors
    /// The store cannot be read, or has not the history of a stream.
    pub(crate) fn learn(data: &Path, images: usize) -> anyhow::Result<Self> {
        // The last one that is full, if any is.
        let stream = corpus::stream_name((images / IMAGES_PER_STREAM).saturating_sub(1));
        let end = format!("/{stream}");
        let mut pushes = Vec::new();
        for events in
            latest(data, (images + images.div_ceil(IMAGES_PER_STREAM)) as u64)?.into_values()
        {
            // A stream alone is its creation.
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

    /// How many images it has.
    pub(crate) fn images(&self) -> usize {
        self.0.len()
    }

    /// The rows of a push: of the image at this place in its stream, with names of their own.
    pub(crate) fn push(&self, image: usize, stream: &str, rng: &mut Rng) -> Vec<Put> {
        let hex: String = (0..4).map(|_| format!("{:016x}", rng.u64(..))).collect();
        let named = |row: &Row| match row.name {
            Name::Stream => (format!("{}{stream}", row.place), row.value.clone()),
            Name::Digest => (format!("{}sha256:{hex}", row.place), row.value.clone()),
        };
        self.0[image % self.0.len()].iter().map(named).collect()
    }

    /// Bytes of the keys and values of a push, on average.
    pub(crate) fn bytes(&self) -> usize {
        let mut rng = Rng::with_seed(0);
        let rows = (0..self.images())
            .flat_map(|image| self.push(image, &corpus::stream_name(0), &mut rng));
        rows.map(|(key, value)| key.len() + value.len()).sum::<usize>() / self.images()
    }
}

/// The events of the latest revisions, of which there are so many at most.
fn latest(data: &Path, revisions: u64) -> anyhow::Result<BTreeMap<Revision, Vec<Event>>> {
    let store = Embedded::open(Options::new(data)).context("the filled store cannot be opened")?;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let current = store.current().await?;
        let mut watch = store.watch("", Revision(current.0 - revisions.min(LATEST)));
        let mut found: BTreeMap<Revision, Vec<Event>> = BTreeMap::new();
        while watch.revision() < current {
            for event in
                watch.next().await.context("the history of the filled store cannot be read")?.events
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
