//! Clients of a Service that work all the time: GET on HTTP/1.1 and HTTP/2, push, list and watch.
//! They record failures, and the longest time without a success.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use imagestream_apiserver::domain::digest::Digest;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::service::ServiceClient;
use crate::support::client::connection::{Kept, Multiplexed};
use crate::support::client::watch::Watch;
use crate::support::client::{Answer, Request};

const NAMESPACE: &str = "/apis/image.openshift.io/v1/namespaces/load";
const STREAMS: u64 = 12;
/// Page size of lists, so that a list has several pages.
const PAGE: usize = 5;
/// Time between two requests of a client.
const PACE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that the server has closed between two requests.
pub(crate) const CLOSED: &str = "idle connection closed";

/// Record of one client.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) client: &'static str,
    pub(crate) successes: u64,
    pub(crate) longest_gap: Duration,
    /// Requests that were refused with a reason to send them again, by this reason.
    pub(crate) retried: BTreeMap<String, u64>,
    /// All other failures.
    pub(crate) failed: Vec<String>,
    last: Instant,
}

/// The clients of a test.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    /// The number of pushes, once they have ended.
    pushes: watch::Sender<Option<u64>>,
    /// The number of events.
    events: watch::Receiver<u64>,
    clients: JoinSet<Report>,
    pusher: JoinHandle<(Report, u64)>,
    watcher: JoinHandle<(Report, Vec<String>)>,
}

/// The records of all clients.
pub(crate) struct Outcome {
    pub(crate) reports: Vec<Report>,
    /// Images in the order of the pushes.
    pub(crate) pushed: Vec<String>,
    /// Images in the order of the events.
    pub(crate) watched: Vec<String>,
}

/// Failure of a request.
enum Failure {
    /// The server has done nothing, and the client can know that.
    Retryable(String),
    Other(String),
}

impl Load {
    /// Creates the objects of the clients, and starts them.
    pub(crate) async fn start(service: &ServiceClient) -> Self {
        let admin = service.admin();
        for at in 0..STREAMS {
            let stream = json!({"metadata": {"name": name(at)}});
            let request = Request::new("POST", &format!("{NAMESPACE}/imagestreams")).json(&stream);
            let created = admin.send(request).await.expect("the server responds");
            assert_eq!(created.status, 201);
        }
        let listed = admin.send(Request::new("GET", &format!("{NAMESPACE}/imagestreams"))).await;
        let listed = listed.expect("the server responds").json().expect("a list is JSON");
        let start = revision(&listed);
        let (stop, stopped) = watch::channel(false);
        let client = |name| LoadClient {
            service: service.clone(),
            stopped: stopped.clone(),
            report: Report::of(name),
        };
        let mut clients = JoinSet::new();
        clients.spawn(client("GET").get());
        clients.spawn(client("GET on HTTP/2").get_multiplexed());
        clients.spawn(client("list").list());
        let (pushes, last) = watch::channel(None);
        let (counter, events) = watch::channel(0);
        let watcher = tokio::spawn(client("watch").watch(start, last, counter));
        let pusher = tokio::spawn(client("push").push());
        Self { stop, pushes, events, clients, pusher, watcher }
    }

    /// Waits until this many more pushes have arrived at the watch.
    pub(crate) async fn go_on_for(&mut self, pushes: u64) {
        let end = *self.events.borrow() + pushes;
        let reached = timeout(PATIENCE, self.events.wait_for(|count| *count >= end)).await;
        drop(reached.expect("pushes succeed").expect("the watch goes on"));
    }

    /// Ends the clients, the watch after the last push.
    pub(crate) async fn stop(mut self) -> Outcome {
        self.stop.send_replace(true);
        let mut reports = Vec::new();
        while let Some(report) = self.clients.join_next().await {
            reports.push(report.expect("no client panics"));
        }
        let (report, count) = self.pusher.await.expect("no client panics");
        reports.push(report);
        self.pushes.send_replace(Some(count));
        let watched = timeout(PATIENCE, self.watcher).await.expect("each push is an event");
        let (report, watched) = watched.expect("no client panics");
        reports.push(report);
        Outcome { reports, pushed: (0..count).map(image).collect(), watched }
    }
}

struct LoadClient {
    service: ServiceClient,
    stopped: watch::Receiver<bool>,
    report: Report,
}

impl LoadClient {
    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    async fn get(mut self) -> Report {
        let (mut line, mut pace) = (None, pace());
        while !self.is_stopped() {
            pace.tick().await;
            let target = format!("{NAMESPACE}/imagestreams/{}", name(0));
            let outcome = self.exchange(&mut line, Request::new("GET", &target)).await;
            self.report.add(outcome.map(drop));
        }
        self.report
    }

    async fn get_multiplexed(mut self) -> Report {
        let (mut line, mut pace) = (None, pace());
        while !self.is_stopped() {
            pace.tick().await;
            let target = format!("{NAMESPACE}/imagestreams/{}", name(1));
            let outcome = self.multiplexed(&mut line, Request::new("GET", &target)).await;
            self.report.add(outcome.map(drop));
        }
        self.report
    }

    /// Pushes images, each until the server has confirmed it. Returns their number.
    async fn push(mut self) -> (Report, u64) {
        let (mut line, mut pace, mut count) = (None, pace(), 0);
        while !self.is_stopped() {
            let image = image(count);
            let reference = format!("registry.example.com/load/{}@{image}", name(count));
            let mapping = json!({
                "kind": "ImageStreamMapping", "apiVersion": "image.openshift.io/v1",
                "metadata": {"name": name(count)}, "tag": "latest",
                "image": {"metadata": {"name": image}, "dockerImageReference": reference},
            });
            let target = format!("{NAMESPACE}/imagestreammappings");
            let begun = Instant::now();
            loop {
                pace.tick().await;
                let request = Request::new("POST", &target).json(&mapping);
                let outcome = self.exchange(&mut line, request).await;
                let is_done = outcome.is_ok();
                self.report.add(outcome.map(drop));
                if is_done {
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "{}", self.report);
            }
            count += 1;
        }
        (self.report, count)
    }

    /// Lists in pages, each on a connection of its own.
    async fn list(mut self) -> Report {
        let mut pace = pace();
        let (mut names, mut token, mut at) = (Vec::new(), String::new(), None);
        while !self.is_stopped() {
            pace.tick().await;
            let query = format!("limit={PAGE}&continue={token}");
            let request = Request::new("GET", &format!("{NAMESPACE}/imagestreams?{query}"));
            let page = match self.exchange(&mut None, request).await {
                Ok(page) => page.json().expect("a list is JSON"),
                Err(failure) => {
                    self.report.add(Err(failure));
                    continue;
                }
            };
            self.report.add(Ok(()));
            let first = *at.get_or_insert(revision(&page));
            assert_eq!(revision(&page), first, "all pages have the revision of the first");
            let items = page["items"].as_array().expect("a list has items").iter();
            names.extend(items.map(|item| text(&item["metadata"]["name"])));
            token = text(&page["metadata"]["continue"]);
            if token.is_empty() {
                let expected: Vec<String> = (0..STREAMS).map(name).collect();
                assert_eq!(std::mem::take(&mut names), expected);
                at = None;
            }
        }
        self.report
    }

    /// Watches from one revision on, through many watches, up to the last push. Returns the images of
    /// all events.
    async fn watch(
        mut self,
        mut after: u64,
        mut pushes: watch::Receiver<Option<u64>>,
        count: watch::Sender<u64>,
    ) -> (Report, Vec<String>) {
        let mut images = Vec::new();
        loop {
            let mut watch = self.begin_watch(after).await;
            loop {
                if pushes.borrow_and_update().is_some_and(|count| images.len() as u64 >= count) {
                    return (self.report, images);
                }
                let event = tokio::select! {
                    event = watch.try_next() => event,
                    // A partly read event is lost with this watch, and comes again with the next.
                    Ok(()) = pushes.changed() => break,
                };
                let event = match event {
                    Ok(Some(event)) => event,
                    Ok(None) => break,
                    Err(why) => {
                        self.report.add(Err(Failure::Other(format!("cut off: {why}"))));
                        break;
                    }
                };
                assert_eq!(event["type"], "MODIFIED", "{event}");
                let at = revision(&event["object"]);
                assert!(at > after, "event {at} after {after}");
                after = at;
                images.push(text(&event["object"]["status"]["tags"][0]["items"][0]["image"]));
                self.report.add(Ok(()));
                count.send_replace(images.len() as u64);
            }
        }
    }

    /// Starts a watch. Panics if that does not succeed for a long time.
    async fn begin_watch(&mut self, after: u64) -> Watch {
        let (begun, mut pace) = (Instant::now(), pace());
        loop {
            pace.tick().await;
            let query = format!("watch=true&resourceVersion={after}");
            let request = Request::new("GET", &format!("{NAMESPACE}/imagestreams?{query}"));
            let failure = match self.service.admin().begin_watch(request).await {
                Ok(watch) if watch.head.status == 200 => return watch,
                Ok(watch) => refusal(&watch.head),
                Err(why) => Failure::Other(format!("no watch: {why}")),
            };
            self.report.add(Err(failure));
            assert!(begun.elapsed() < PATIENCE, "{}", self.report);
        }
    }

    /// Sends a request on a connection, and opens one if there is none.
    async fn exchange(&self, line: &mut Option<Kept>, request: Request) -> Result<Answer, Failure> {
        let is_safe = request.method == "GET";
        let (mut kept, is_used) = match line.take() {
            Some(kept) => (kept, true),
            None => {
                let opened = self.service.admin().keep().await;
                let unsent = |why| Failure::Other(format!("not connected: {why}"));
                (opened.map_err(unsent)?, false)
            }
        };
        match kept.send(request).await {
            Ok(answer) => {
                *line = (answer.header("connection") != Some("close")).then_some(kept);
                if answer.status < 300 { Ok(answer) } else { Err(refusal(&answer)) }
            }
            // As in RFC 9110, section 9.2.2: a client may repeat a safe request.
            Err(why) if is_safe && is_used && why.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Failure::Retryable(CLOSED.to_owned()))
            }
            Err(why) => Err(Failure::Other(format!("no response: {why}"))),
        }
    }

    async fn multiplexed(
        &self,
        line: &mut Option<Multiplexed>,
        request: Request,
    ) -> Result<Answer, Failure> {
        let mut open = match line.take() {
            Some(open) => open,
            None => self.multiplex().await?,
        };
        if open.ready().await.is_err() {
            // The server has announced the end, and nothing was sent.
            open = self.multiplex().await?;
        }
        match open.send(request).await {
            Ok(answer) => {
                *line = Some(open);
                if answer.status < 300 { Ok(answer) } else { Err(refusal(&answer)) }
            }
            // GOAWAY says that the server has not seen the request.
            Err(why) if why.is_canceled() || chain(&why).contains("not a result of an error") => {
                Err(Failure::Retryable("GOAWAY".to_owned()))
            }
            Err(why) => Err(Failure::Other(format!("no response: {}", chain(&why)))),
        }
    }

    async fn multiplex(&self) -> Result<Multiplexed, Failure> {
        let opened = self.service.admin().multiplex().await;
        opened.map_err(|why| Failure::Other(format!("not connected: {why}")))
    }
}

/// The failure that an error response tells.
fn refusal(answer: &Answer) -> Failure {
    let text = format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
    match answer.header("retry-after") {
        Some(_) if matches!(answer.status, 429 | 503) => Failure::Retryable(text),
        _ => Failure::Other(text),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Report {
    fn of(client: &'static str) -> Self {
        let (longest_gap, last) = (Duration::ZERO, Instant::now());
        let (retried, failed) = (BTreeMap::new(), Vec::new());
        Self { client, successes: 0, longest_gap, retried, failed, last }
    }

    fn add(&mut self, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => {
                self.successes += 1;
                self.longest_gap = self.longest_gap.max(self.last.elapsed());
                self.last = Instant::now();
            }
            Err(Failure::Retryable(why)) => *self.retried.entry(why).or_default() += 1,
            Err(Failure::Other(why)) => self.failed.push(why),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, successes, longest_gap, retried, failed, .. } = self;
        write!(f, "{client}: {successes} succeeded, longest gap {longest_gap:?}")?;
        for (why, count) in retried {
            write!(f, "\n    {count} to repeat: {why}")?;
        }
        failed.iter().try_for_each(|why| write!(f, "\n    failed: {why}"))
    }
}

fn pace() -> tokio::time::Interval {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

fn name(number: u64) -> String {
    format!("stream-{:02}", number % STREAMS)
}

fn image(number: u64) -> String {
    Digest::sha256_of(&number.to_string()).to_string()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn revision(object: &Value) -> u64 {
    text(&object["metadata"]["resourceVersion"]).parse().expect("it has a revision")
}
