//! Client of a run: one operation after the other, on a connection to any of the servers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::record::{Call, Collection, Number, Object, Operation, Response};
use super::site::Site;
use super::wire::{self, Page, Reply};
use crate::support::client::connection::Kept;
use crate::support::client::{Answer, Request};

const STREAMS: u64 = 10;
const IMAGES: u64 = 10;
/// Pause after a failed connection.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait of a client that gives up at once.
const IMPATIENCE: Duration = Duration::from_millis(8);

pub(crate) struct Caller {
    site: Arc<Site>,
    random: Rng,
    /// The connection, and the number of its server.
    line: Option<(usize, Kept)>,
    operations: Vec<Operation>,
}

/// The end of an exchange.
enum Exchange {
    Answered(Answer),
    /// The request was sent, and no response came.
    Broken(String),
    /// The request was not sent.
    Unsent,
}

impl Caller {
    pub(crate) fn new(site: Arc<Site>, random: Rng) -> Self {
        Self { site, random, line: None, operations: Vec::new() }
    }

    /// Sends operations until the site is stopped.
    pub(crate) async fn run(mut self) -> Vec<Operation> {
        while !self.site.is_stopped() {
            if self.random.u8(..100) < 10 {
                self.line = None;
            }
            self.next().await;
        }
        self.operations
    }

    async fn next(&mut self) {
        let stream = Object::Stream(self.random.u64(..STREAMS));
        let image = Object::Image(self.random.u64(..IMAGES));
        let object = if self.random.bool() { stream } else { image };
        let collection = Collection::ALL[self.random.usize(..2)];
        match self.random.u8(..100) {
            0..28 => self.plain(Call::Get(object)).await,
            28..42 => match self.site.some_push(&mut self.random) {
                Some((stream, push)) => self.plain(Call::GetPushed { stream, push }).await,
                None => self.plain(Call::Get(stream)).await,
            },
            42..46 => self.list(collection).await,
            46..60 => self.plain(Call::Create(object)).await,
            60..72 => self.plain(Call::Patch(object)).await,
            72..80 => self.update(object).await,
            80..93 => self.push(stream).await,
            _ => self.plain(Call::Delete(object)).await,
        }
    }

    /// Sends one request as an operation.
    pub(crate) async fn plain(&mut self, call: Call) {
        let number = self.site.next_number();
        self.send(number, call, wire::request(number, call)).await;
    }

    async fn push(&mut self, stream: Object) {
        let (number, call) = (self.site.next_number(), Call::Push(stream));
        let body = self.send(number, call, wire::request(number, call)).await;
        if body.is_some()
            && let Some(old) = self.site.add_push(stream, number)
        {
            self.plain(Call::Delete(Object::pushed(old))).await;
        }
    }

    /// Reads an object and replaces it.
    async fn update(&mut self, object: Object) {
        let (number, call) = (self.site.next_number(), Call::Get(object));
        let read = self.send(number, call, wire::request(number, call)).await;
        let Some(current) = read.filter(|body| body["kind"] != "Status") else { return };
        let base = current["metadata"]["resourceVersion"].as_str();
        let base = base.and_then(|text| text.parse().ok()).expect("an object has a revision");
        let number = self.site.next_number();
        let request = wire::update(number, object, current);
        self.send(number, Call::Update(object, base), request).await;
    }

    /// Sends the request of an operation and records it, unless it was not sent or is a read
    /// without a result. Returns the body of the response.
    async fn send(&mut self, number: Number, call: Call, request: Request) -> Option<Value> {
        let called = self.site.now();
        let patience = match call.is_write() && self.random.u8(..100) < 2 {
            true => Duration::from_micros(self.random.u64(..IMPATIENCE.as_micros() as u64)),
            false => self.site.patience,
        };
        let exchange = self.exchange(request, patience).await;
        let returned = self.site.now();
        let (reply, body) = match exchange {
            Exchange::Unsent => return None,
            Exchange::Answered(answer) => (wire::reply(call, &answer), answer.json().ok()),
            Exchange::Broken(why) => (Reply::Failed(why), None),
        };
        let response = match reply {
            Reply::Done(response) => response,
            Reply::Failed(why) => {
                self.site.count_failure(why);
                if !call.is_write() {
                    return None;
                }
                Response::Unknown
            }
        };
        self.operations.push(Operation { number, call, called, returned, response });
        Some(body.unwrap_or_default())
    }

    /// Reads all pages of a list as one operation.
    pub(crate) async fn list(&mut self, collection: Collection) {
        let (number, called) = (self.site.next_number(), self.site.now());
        let limit = self.random.bool().then(|| self.random.usize(3..20));
        let (mut all, mut token, mut at) = (Vec::new(), None, None);
        loop {
            let request = wire::page(collection, limit, token.as_deref());
            let answer = match self.exchange(request, self.site.patience).await {
                Exchange::Answered(answer) if answer.status == 200 => answer,
                Exchange::Answered(answer) => {
                    return self.site.count_failure(format!("{} list", answer.status));
                }
                Exchange::Broken(_) | Exchange::Unsent => return,
            };
            let Page { items, revision, after } = Page::of(&answer);
            all.extend(items);
            let first = *at.get_or_insert(revision);
            assert_eq!(revision, first, "all pages of a list have the revision of the first");
            token = after;
            if token.is_none() {
                break;
            }
        }
        let revision = at.expect("a list has a page");
        let response = Response::Listed { revision, items: all };
        let (call, returned) = (Call::List(collection), self.site.now());
        self.operations.push(Operation { number, call, called, returned, response });
    }

    /// Uses this server from now on.
    pub(crate) async fn connect(&mut self, server: usize) -> io::Result<()> {
        let line = timeout(self.site.patience, self.site.server(server).keep()).await??;
        self.line = Some((server, line));
        Ok(())
    }

    /// The operations until now.
    pub(crate) fn take(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.operations)
    }

    async fn exchange(&mut self, request: Request, patience: Duration) -> Exchange {
        if self.line.is_none() {
            let server = self.random.usize(..self.site.size());
            if self.connect(server).await.is_err() {
                // A server that is down refuses connections without delay.
                sleep(PAUSE).await;
                return Exchange::Unsent;
            }
        }
        let Some((server, line)) = &mut self.line else { return Exchange::Unsent };
        let what = format!("{} on server {server}", request.method);
        let broken = match timeout(patience, line.send(request)).await {
            Ok(Ok(answer)) => {
                let promises = answer.broken_promises();
                assert!(promises.is_empty(), "{what} returned {}: {promises:?}", answer.status);
                return Exchange::Answered(answer);
            }
            Ok(Err(_)) => "connection lost",
            Err(_) if patience < IMPATIENCE => "given up at once",
            Err(_) => "no response",
        };
        self.line = None;
        Exchange::Broken(broken.to_owned())
    }
}
