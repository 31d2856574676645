//! Mappings to push in a turn. They are built beforehand, as many as fit: to build one costs about
//! as much as to serve it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{anyhow, ensure};

use crate::caller::Caller;
use crate::client_pool::ClientPool;
use crate::corpus::{self, IMAGES_PER_STREAM, NAMESPACE};
use crate::process::Process;
use crate::turn::Stopwatch;
use crate::wire::{self, Connection};

/// Deadline for creating the streams of a turn.
const LIMIT: Duration = Duration::from_secs(600);

/// Mappings into streams that the seed does not contain.
pub(crate) struct Fixtures {
    first_stream: usize,
    /// Requests for all images of the first streams, in order.
    requests: Vec<Vec<u8>>,
}

/// Pushes of one turn. Each client takes one stream at a time, so the pushes to a stream are
/// sequential.
pub(crate) struct Pushes<'a> {
    fixtures: &'a Fixtures,
    next_stream: AtomicUsize,
    acknowledged: AtomicUsize,
}

impl Fixtures {
    /// Builds the requests for this number of images on several threads, in streams from a number
    /// on.
    ///
    /// # Errors
    /// A thread panicked.
    pub(crate) fn new(first_stream: usize, images: usize, threads: usize) -> anyhow::Result<Self> {
        let first = first_stream * IMAGES_PER_STREAM;
        let images = images.next_multiple_of(IMAGES_PER_STREAM);
        let share = images.div_ceil(threads);
        let make = |thread: usize| {
            let numbers = first + thread * share..first + images.min((thread + 1) * share);
            move || {
                numbers
                    .map(|number| push_request(&corpus::image(number).mapping))
                    .collect::<Vec<_>>()
            }
        };
        let requests = thread::scope(|scope| {
            let makers: Vec<_> = (0..threads).map(|thread| scope.spawn(make(thread))).collect();
            let made: Result<Vec<_>, _> = makers.into_iter().map(|maker| maker.join()).collect();
            made.map_err(|_| anyhow!("a thread that builds mappings panicked"))
        })?;
        Ok(Self { first_stream, requests: requests.concat() })
    }

    /// Creates the streams of the fixtures on a server, for one turn of pushes.
    ///
    /// # Errors
    /// The server does not create them.
    pub(crate) fn open(&self, pool: &ClientPool, server: &Process) -> anyhow::Result<Pushes<'_>> {
        let next = AtomicUsize::new(0);
        pool.run(server.address, LIMIT, async |connection, _| {
            loop {
                let stream = next.fetch_add(1, Ordering::Relaxed);
                if stream >= self.streams() {
                    return Ok(());
                }
                create(connection, &stream_request(self.first_stream + stream)).await?;
            }
        })?;
        Ok(Pushes {
            fixtures: self,
            next_stream: AtomicUsize::new(0),
            acknowledged: AtomicUsize::new(0),
        })
    }

    fn streams(&self) -> usize {
        self.requests.len() / IMAGES_PER_STREAM
    }
}

impl Pushes<'_> {
    /// Pushes on one connection until the turn ends.
    ///
    /// # Errors
    /// The response to a push is not 201.
    pub(crate) async fn push(
        &self,
        connection: &mut Connection,
        watch: &mut Stopwatch<'_>,
    ) -> anyhow::Result<()> {
        while watch.runs() {
            let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
            if stream >= self.fixtures.streams() {
                create(connection, &stream_request(self.fixtures.first_stream + stream)).await?;
                watch.skip();
            }
            for number in stream * IMAGES_PER_STREAM..(stream + 1) * IMAGES_PER_STREAM {
                if !watch.runs() {
                    break;
                }
                match self.fixtures.requests.get(number) {
                    Some(request) => create(connection, request).await?,
                    None => {
                        let number = self.fixtures.first_stream * IMAGES_PER_STREAM + number;
                        create(connection, &push_request(&corpus::image(number).mapping)).await?;
                    }
                }
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                watch.lap();
            }
        }
        Ok(())
    }

    /// Number of acknowledged pushes.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }
}

/// Request that creates a stream.
pub(crate) fn stream_request(stream: usize) -> Vec<u8> {
    post("imagestreams", &corpus::stream_body(stream))
}

/// Request that pushes an image.
pub(crate) fn push_request(mapping: &[u8]) -> Vec<u8> {
    post("imagestreammappings", mapping)
}

fn post(resource: &str, body: &[u8]) -> Vec<u8> {
    wire::post(
        &format!("/apis/image.openshift.io/v1/namespaces/{NAMESPACE}/{resource}"),
        Caller::Token,
        body,
    )
}

/// Sends a create request.
///
/// # Errors
/// The response is not 201.
pub(crate) async fn create(connection: &mut Connection, request: &[u8]) -> anyhow::Result<()> {
    let answer = connection.exchange(request).await?;
    let text = || String::from_utf8_lossy(answer.body);
    ensure!(
        answer.status == 201,
        "the response to a create has status {}: {}",
        answer.status,
        text()
    );
    Ok(())
}
