//! Writer on one connection. It owns some images and streams, and pushes to a stream that all
//! writers share.

use std::io;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::ledger::{Attempt, End, MARK, NAMESPACE, Owned, Push, Resource, State};
use crate::random::Random;
use crate::support::client::connection::Kept;
use crate::support::client::{Answer, Client, Request};

const V1: &str = "/apis/image.openshift.io/v1";
/// Number of images, and of streams, that one writer owns.
const SLOTS: usize = 3;

/// Writer with the states of its objects.
pub(crate) struct Writer {
    number: usize,
    random: Random,
    /// Number of writes; it gives each write its mark.
    marks: usize,
    pub(crate) owned: Vec<Owned>,
    pub(crate) pushes: Vec<Push>,
    /// Highest revision in a response.
    pub(crate) highest: u64,
    pub(crate) acknowledged: usize,
}

impl Writer {
    pub(crate) fn new(number: usize, random: Random) -> Self {
        let image = |slot| Owned::new(Resource::Image, digest(&format!("a{number:02x}{slot:x}")));
        let stream = |slot| Owned::new(Resource::Stream, format!("own-{number}-{slot}"));
        let owned = (0..SLOTS).map(image).chain((0..SLOTS).map(stream)).collect();
        Self { number, random, marks: 0, owned, pushes: Vec::new(), highest: 0, acknowledged: 0 }
    }

    /// Writes until the server ends. `shared` is the stream to push to, `count` the number of
    /// acknowledged writes.
    pub(crate) async fn write(
        &mut self,
        client: Client,
        shared: &str,
        count: &watch::Sender<usize>,
    ) {
        let Ok(mut line) = client.keep().await else { return };
        loop {
            let pushes = self.random.percent(40);
            let done = if pushes {
                self.push(&mut line, shared).await
            } else {
                self.change(&mut line).await
            };
            if done.is_err() {
                return;
            }
            self.acknowledged += 1;
            count.send_modify(|count| *count += 1);
        }
    }

    async fn push(&mut self, line: &mut Kept, shared: &str) -> io::Result<()> {
        let mark = self.mark();
        let earlier = self
            .pushes
            .iter()
            .rev()
            .find(|push| push.stream == shared && push.end == End::Acknowledged);
        let image = match earlier {
            // The image may exist already; then only the event is new.
            Some(push) if self.random.percent(25) => push.image.clone(),
            _ => digest(&format!("f{mark}")),
        };
        let tag = format!("t{mark}");
        let body = json!({"kind": "ImageStreamMapping", "apiVersion": "image.openshift.io/v1",
            "metadata": {"name": shared}, "tag": tag, "image": self.image(&image, &mark)});
        self.pushes.push(Push { stream: shared.to_owned(), tag, image, end: End::Open });
        let path = format!("namespaces/{NAMESPACE}/imagestreammappings");
        is(&ask(line, request("POST", &path).json(&body)).await?, 201);
        self.pushes.last_mut().expect("the push was recorded before it was sent").end =
            End::Acknowledged;
        Ok(())
    }

    /// Creates, changes or deletes an object of this writer.
    async fn change(&mut self, line: &mut Kept) -> io::Result<()> {
        let at = self.random.below(self.owned.len());
        let (resource, path) = (self.owned[at].resource, self.owned[at].path());
        let is_there = self.owned[at].known != State::Absent;
        let (attempt, request) = if !is_there {
            let mark = self.mark();
            let body = self.object(resource, &self.owned[at].name, &mark);
            (Attempt::Write { mark }, request("POST", &resource.collection()).json(&body))
        } else if resource == Resource::Image || self.random.percent(20) {
            (Attempt::Delete, request("DELETE", &path))
        } else {
            let mark = self.mark();
            let present = ask(line, request("GET", &path)).await?;
            let mut stream = is(&present, 200);
            assert_eq!(
                State::of(&stream, None),
                self.owned[at].known,
                "{path} differs from the acknowledged state"
            );
            stream["metadata"]["annotations"][MARK] = mark.as_str().into();
            stream["status"]["tags"] = json!([{"tag": "t", "items": [{"created": "2024-01-02T03:04:05Z", "generation": 0,
                "image": digest(&format!("b{mark}")), "dockerImageReference": format!("registry.example.com/a/b:{mark}")}]}]);
            (Attempt::Write { mark }, request("PUT", &format!("{path}/status")).json(&stream))
        };
        let code = if request.method == "POST" { 201 } else { 200 };
        self.owned[at].open = Some(attempt.clone());
        let answer = is(&ask(line, request).await?, code);
        self.reached(at, &attempt, &answer);
        Ok(())
    }

    fn reached(&mut self, at: usize, attempt: &Attempt, answer: &Value) {
        let state = match attempt {
            Attempt::Delete => State::Absent,
            Attempt::Write { .. } => State::of(answer, None),
        };
        if let State::There { version, .. } = &state {
            self.highest = self.highest.max(*version);
        }
        self.owned[at].reached(state);
    }

    /// Compares the objects in the API with the acknowledged states.
    pub(crate) async fn check(&mut self, client: &Client, recent: &str) -> io::Result<()> {
        let mut line = client.keep().await?;
        for owned in &mut self.owned {
            let answer = line.send(request("GET", &owned.path())).await?;
            owned.found(if answer.status == 404 {
                State::Absent
            } else {
                State::of(&is(&answer, 200), None)
            });
        }
        let stream = line
            .send(request("GET", &format!("{}/{recent}", Resource::Stream.collection())))
            .await?;
        let stream = is(&stream, 200);
        for push in
            self.pushes.iter_mut().filter(|push| push.stream == recent && push.end != End::Unmade)
        {
            let event = event_of(&stream, &push.tag);
            let view = format!("namespaces/{NAMESPACE}/imagestreamimages/{recent}@{}", push.image);
            match event {
                Some(image) => {
                    assert_eq!(image, push.image, "the event of {}", push.tag);
                    is(&line.send(request("GET", &view)).await?, 200);
                    push.end = End::Acknowledged;
                }
                None => {
                    assert_eq!(
                        push.end,
                        End::Open,
                        "the acknowledged event of {} is missing",
                        push.tag
                    );
                    push.end = End::Unmade;
                }
            }
        }
        Ok(())
    }

    fn mark(&mut self) -> String {
        self.marks += 1;
        format!("{:02x}{:06x}", self.number, self.marks)
    }

    fn object(&self, resource: Resource, name: &str, mark: &str) -> Value {
        match resource {
            Resource::Image => self.image(name, mark),
            Resource::Stream => {
                json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1",
                "metadata": {"name": name, "annotations": {MARK: mark}}})
            }
        }
    }

    fn image(&self, name: &str, mark: &str) -> Value {
        // Various sizes, so that values occupy one page or several.
        let padding = "x".repeat(16 << (self.marks % 10));
        json!({"kind": "Image", "apiVersion": "image.openshift.io/v1",
            "metadata": {"name": name, "annotations": {MARK: mark, "padding": padding}},
            "dockerImageReference": format!("registry.example.com/a/b@{name}")})
    }
}

/// The response, unless the server is shutting down.
async fn ask(line: &mut Kept, request: Request) -> io::Result<Answer> {
    let answer = line.send(request).await?;
    if answer.status == 503 { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(answer) }
}

/// Image of the newest event of a tag.
pub(crate) fn event_of<'a>(stream: &'a Value, tag: &str) -> Option<&'a str> {
    let tags = stream["status"]["tags"].as_array()?;
    tags.iter().find(|each| each["tag"] == tag)?["items"][0]["image"].as_str()
}

pub(crate) fn request(method: &str, path: &str) -> Request {
    Request::new(method, &format!("{V1}/{path}"))
}

/// Body of a response with this status code.
#[track_caller]
pub(crate) fn is(answer: &Answer, code: u16) -> Value {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, code, "{text}");
    assert_eq!(answer.broken_promises(), [""; 0]);
    answer.json().unwrap_or_else(|why| panic!("{why}: {text}"))
}

fn digest(hex: &str) -> String {
    format!("sha256:{hex:0<64}")
}
