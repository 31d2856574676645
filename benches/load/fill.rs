//! Filling the server the way a registry does: a mapping for every image that is pushed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::client_pool::ClientPool;
use crate::corpus::{self, IMAGES_PER_STREAM};
use crate::fixtures::{create, push_request, stream_request};
use crate::process::Process;
use crate::usage::{Sample, Usage, resident_mib};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// How it went.
pub(crate) struct Filling {
    /// Images that were pushed.
    pub(crate) images: usize,
    /// Streams that they are in.
    pub(crate) streams: usize,
    /// How long it took.
    pub(crate) took: Duration,
    /// What it cost.
    pub(crate) usage: Usage,
    /// Bytes of all requests that push an image.
    pub(crate) bytes: usize,
    /// Memory of the server afterwards, in MiB.
    pub(crate) resident_mib: f64,
}

/// Pushes images and gives their digests, in the order of their numbers. Connections take one stream after the other,
/// so that the pushes to one stream follow each other.
///
/// # Errors
/// A push that is not answered with 201.
pub(crate) fn fill(
    pool: &ClientPool,
    server: &Process,
    images: usize,
) -> anyhow::Result<(Vec<String>, Filling)> {
    let streams = images.div_ceil(IMAGES_PER_STREAM);
    let next = AtomicUsize::new(0);
    let (begun, before) = (Instant::now(), Sample::take(server.id())?);
    let parts = pool.run(server.address, LIMIT, async |connection, _| {
        let mut pushed = Vec::new();
        loop {
            let stream = next.fetch_add(1, Ordering::Relaxed);
            if stream >= streams {
                return Ok(pushed);
            }
            create(connection, &stream_request(stream)).await?;
            let first = stream * IMAGES_PER_STREAM;
            for number in first..images.min(first + IMAGES_PER_STREAM) {
                let image = corpus::image(number);
                create(connection, &push_request(&image.mapping)).await?;
                pushed.push((number, image.digest, image.mapping.len()));
            }
        }
    })?;
    let usage = before.until(&Sample::take(server.id())?);
    let took = begun.elapsed();
    let mut pushed = parts.concat();
    pushed.sort_unstable();
    let bytes = pushed.iter().map(|(_, _, bytes)| bytes).sum();
    let resident_mib = resident_mib(server.id())?;
    let digests = pushed.into_iter().map(|(_, digest, _)| digest).collect();
    Ok((digests, Filling { images, streams, took, usage, bytes, resident_mib }))
}
