//! Responses of a server during a fault, as a row of the table in OPERATIONS.md.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;

use crate::support::client::{Answer, Client, Request};

const STREAMS: &str = "/apis/image.openshift.io/v1/namespaces/observed/imagestreams";
/// Longest wait for a response.
const PATIENCE: Duration = Duration::from_secs(20);

/// A response, or its absence, and the time that it took.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) code: Option<u16>,
    pub(crate) took: Duration,
    pub(crate) text: String,
}

/// Responses to one request of each kind, sent at once.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    pub(crate) livez: Observed,
    pub(crate) readyz: Observed,
    /// `/readyz?exclude=etcd`, the probe of the manifests.
    pub(crate) probe: Observed,
    pub(crate) discovery: Observed,
    pub(crate) read: Observed,
    pub(crate) list: Observed,
    /// A list with `resourceVersion=0`, which may be stale.
    pub(crate) cached: Observed,
    /// The start of a new watch.
    pub(crate) watch: Observed,
    pub(crate) create: Observed,
    pub(crate) delete: Observed,
}

impl Observation {
    /// Creates an object to read and one to delete.
    pub(crate) async fn prepare(client: &Client) {
        for name in ["read", "deleted"] {
            let created = ask(client, Request::new("POST", STREAMS).json(&stream(name))).await;
            assert!(matches!(created.code, Some(201 | 409)), "{created:?}");
        }
    }

    /// Sends all requests at once. The new object has this name.
    pub(crate) async fn of(client: &Client, name: &str) -> Self {
        let get = |target: &str| ask(client, Request::new("GET", target));
        let (read, deleted) = (format!("{STREAMS}/read"), format!("{STREAMS}/deleted"));
        let cached = format!("{STREAMS}?resourceVersion=0");
        let (livez, readyz, probe, discovery, read, list, cached, watch, create, delete) = tokio::join!(
            get("/livez"),
            get("/readyz?verbose"),
            get("/readyz?exclude=etcd"),
            get("/apis/image.openshift.io/v1"),
            get(&read),
            get(STREAMS),
            get(&cached),
            begin_watch(client),
            ask(client, Request::new("POST", STREAMS).json(&stream(name))),
            ask(client, Request::new("DELETE", &deleted)),
        );
        Self { livez, readyz, probe, discovery, read, list, cached, watch, create, delete }
    }

    /// The codes of livez, readyz, the probe of the manifests and discovery.
    pub(crate) fn probes(&self) -> [Option<u16>; 4] {
        [self.livez.code, self.readyz.code, self.probe.code, self.discovery.code]
    }

    /// The codes of read, list, create and delete.
    pub(crate) fn requests(&self) -> [Option<u16>; 4] {
        [self.read.code, self.list.code, self.create.code, self.delete.code]
    }

    /// Returns true if reads and writes succeed. The object to delete may be gone already.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self.requests(), [Some(200), Some(200), Some(201), Some(200 | 404)])
    }

    /// The longest time of a response.
    pub(crate) fn longest(&self) -> Duration {
        let all = [
            &self.livez,
            &self.readyz,
            &self.probe,
            &self.discovery,
            &self.read,
            &self.list,
            &self.cached,
            &self.watch,
            &self.create,
            &self.delete,
        ];
        all.into_iter().map(|each| each.took).max().unwrap_or_default()
    }
}

fn stream(name: &str) -> serde_json::Value {
    json!({"metadata": {"name": name}})
}

async fn ask(client: &Client, request: Request) -> Observed {
    observe(client.send_unchecked(request)).await
}

async fn begin_watch(client: &Client) -> Observed {
    let request = Request::new("GET", &format!("{STREAMS}?watch=true"));
    observe(async { Ok(client.begin_watch(request).await?.head) }).await
}

async fn observe(exchange: impl Future<Output = io::Result<Answer>>) -> Observed {
    let begun = Instant::now();
    let answer = timeout(PATIENCE, exchange).await;
    let took = begun.elapsed();
    match answer {
        Ok(Ok(answer)) => {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            Observed { code: Some(answer.status), took, text }
        }
        Ok(Err(why)) => Observed { code: None, took, text: why.to_string() },
        Err(_) => Observed { code: None, took, text: "no response".to_owned() },
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{code} in {:.2} s", self.took.as_secs_f32()),
            None => write!(f, "none in {:.2} s ({})", self.took.as_secs_f32(), self.text),
        }
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { livez, readyz, probe, discovery, read, list, cached, watch, create, delete } =
            self;
        writeln!(
            f,
            "livez {livez}, readyz {readyz}, without etcd {probe}, discovery {discovery}, read \
             {read}, list {list}, cached {cached}, watch {watch}, create {create}, delete {delete}"
        )?;
        let failed = [readyz, read, list, cached, watch, create, delete];
        for each in failed.into_iter().filter(|each| each.code.is_none_or(|code| code >= 400)) {
            writeln!(f, "    {}", each.text.trim())?;
        }
        Ok(())
    }
}
