//! Fill of the server as a registry does it: one mapping for each pushed image.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::client_pool::ClientPool;
use crate::corpus::{self, IMAGES_PER_STREAM};
use crate::fixtures::{create, push_request, stream_request};
use crate::process::Process;
use crate::usage::{Sample, Usage, resident_mib};

/// Deadline of the fill.
const LIMIT: Duration = Duration::from_secs(3600);

/// Results of the fill.
pub(crate) struct Filling {
    /// Number of pushed images.
    pub(crate) images: usize,
    /// Number of streams with these images.
    pub(crate) streams: usize,
    /// Duration of the fill.
    pub(crate) took: Duration,
    /// Resource usage of the fill.
    pub(crate) usage: Usage,
    /// Total size of the push requests in bytes.
    pub(crate) bytes: usize,
    /// Memory of the server afterwards, in MiB.
    pub(crate) resident_mib: f64,
}

/// Pushes images and returns their digests in the order of their numbers. Each connection takes one
/// stream at a time, so the pushes to a stream are sequential.
///
/// # Errors
/// The response to a push is not 201.
pub(crate) fn fill(
    pool: &ClientPool,
    server: &Process,
    images: usize,
) -> anyhow::Result<(Vec<String>, Filling)> {
    let streams = images.div_ceil(IMAGES_PER_STREAM);
    let next = AtomicUsize::new(0);
    let (begun, before) = (Instant::now(), Sample::take(&server.ids())?);
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
    let usage = before.until(&Sample::take(&server.ids())?);
    let took = begun.elapsed();
    let mut pushed = parts.concat();
    pushed.sort_unstable();
    let bytes = pushed.iter().map(|(_, _, bytes)| bytes).sum();
    let resident_mib = resident_mib(server.id())?;
    let digests = pushed.into_iter().map(|(_, digest, _)| digest).collect();
    Ok((digests, Filling { images, streams, took, usage, bytes, resident_mib }))
}
