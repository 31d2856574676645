//! A server whose requests run on one thread, and a client on another, so that the work of the
//! server can be counted apart from that of the client.

use std::sync::mpsc;
use std::thread;

use clap::{Args, FromArgMatches};
use imagestream_apiserver::server::shutdown::Shutdown;
use imagestream_apiserver::server::{self, Options};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::corpus::{self, IMAGES_PER_STREAM, NAMESPACE};
use crate::support::client::connection::{Kept, Multiplexed};
use crate::support::client::{Client, Request};
use crate::support::server::{EMBEDDED, ServerFolder, identity_of_admin};

/// Number of streams. The first one gets images before anything is counted, and the pushes of each
/// [`Site::exchange`] go to one of the others.
const STREAMS: usize = 8;
/// Images of that stream.
const IMAGES: u32 = 10;
const NAMESPACED: &str = "/apis/image.openshift.io/v1/namespaces";

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// GET of an image of a stream by its digest, over HTTP/1.1.
    Get,
    /// The same over HTTP/2.
    GetOverHttp2,
    /// GET of a digest that the stream does not have.
    Missing,
    /// Mapping of a new image. All that are sent together go to one stream, which was empty.
    Push,
    /// Page of ten images.
    ListPage,
}

/// The server and its client.
pub(crate) struct Site {
    runtime: Runtime,
    jobs: mpsc::Sender<Job>,
    // Dropped last: the server uses it.
    _folder: ServerFolder,
}

/// Requests to send, and the sender that is dropped when all are answered.
struct Job {
    load: Load,
    count: u32,
    end: oneshot::Sender<()>,
}

impl Site {
    /// Starts a server with images. Its requests run on the calling thread while
    /// [`Self::exchange`] waits.
    pub(crate) fn start() -> Self {
        let (jobs, received) = mpsc::channel();
        let (connect, client) = mpsc::channel();
        thread::spawn(move || serve_jobs(&client.recv().expect("the server starts"), &received));
        let folder = ServerFolder::new(&[EMBEDDED], "");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let running = runtime.block_on(server::start(options(&folder), Shutdown::new()));
        let running = running.expect("the server starts").expect("nothing stops the server");
        let certificate = std::fs::read(&running.certificate).expect("the server wrote it");
        let client = Client::new(running.address, &certificate, identity_of_admin());
        connect.send(client).expect("the client has started");
        // The server runs as long as the runtime.
        runtime.spawn(running.until_end());
        Self { runtime, jobs, _folder: folder }
    }

    /// Sends requests one after the other, and serves them on this thread. Panics if one fails.
    pub(crate) fn exchange(&self, load: Load, count: u32) {
        let (end, ended) = oneshot::channel();
        self.jobs.send(Job { load, count, end }).expect("the client runs");
        self.runtime.block_on(ended).expect("all requests succeed");
    }
}

/// Parses the flags of a server.
fn options(folder: &ServerFolder) -> Options {
    let command = Options::augment_args(clap::Command::new("serve").no_binary_name(true));
    let matches = command.try_get_matches_from(&folder.arguments).expect("the flags are valid");
    Options::from_arg_matches(&matches).expect("the flags are valid")
}

/// The thread of the client, until the site is dropped.
fn serve_jobs(client: &Client, jobs: &mpsc::Receiver<Job>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let mut session = runtime.block_on(Session::open(client));
    while let Ok(Job { load, count, end }) = jobs.recv() {
        runtime.block_on(session.run(load, count));
        end.send(()).expect("the server waits");
    }
}

/// The connections of the client.
struct Session {
    http1: Kept,
    http2: Multiplexed,
    /// Digests of the images of the first stream.
    digests: Vec<String>,
    /// Number of streams that have images.
    filled: usize,
}

impl Session {
    async fn open(client: &Client) -> Self {
        let http1 = client.keep().await.expect("the server accepts HTTP/1.1");
        let http2 = client.multiplex().await.expect("the server accepts HTTP/2");
        let mut session = Self { http1, http2, digests: Vec::new(), filled: 0 };
        for stream in 0..STREAMS {
            let body = corpus::stream_body(stream);
            session.send(post("imagestreams", body), 201).await;
        }
        session.digests = (0..IMAGES).map(|each| corpus::image(each as usize).digest).collect();
        session.run(Load::Push, IMAGES).await;
        session
    }

    async fn run(&mut self, load: Load, count: u32) {
        for number in 0..count as usize {
            match load {
                Load::Get => self.send(get(self.digest(number)), 200).await,
                Load::GetOverHttp2 => {
                    let answer = self.http2.send(get(self.digest(number))).await;
                    assert_eq!(answer.expect("the server responds").status, 200);
                }
                Load::Missing => self.send(get(&corpus::digest("missing")), 404).await,
                Load::Push => {
                    let image = corpus::image(self.filled * IMAGES_PER_STREAM + number);
                    self.send(post("imagestreammappings", image.mapping), 201).await;
                }
                Load::ListPage => {
                    let target = "/apis/image.openshift.io/v1/images?limit=10";
                    self.send(Request::new("GET", target), 200).await;
                }
            }
        }
        self.filled += usize::from(load == Load::Push);
    }

    /// Digest of an image of the first stream.
    fn digest(&self, number: usize) -> &str {
        &self.digests[number % self.digests.len()]
    }

    async fn send(&mut self, request: Request, status: u16) {
        let answer = self.http1.send(request).await.expect("the server responds");
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    }
}

/// GET of an image of the first stream.
fn get(digest: &str) -> Request {
    let stream = corpus::stream_name(0);
    let target = format!("{NAMESPACED}/{NAMESPACE}/imagestreamimages/{stream}@{digest}");
    Request::new("GET", &target)
}

fn post(resource: &str, body: Vec<u8>) -> Request {
    let request = Request::new("POST", &format!("{NAMESPACED}/{NAMESPACE}/{resource}"));
    Request { body: Some(body), ..request.header("content-type", "application/json") }
}
