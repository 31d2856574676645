//! Requests to a stream of 200 tags with full history: pushes, compared with pushes to a stream of
//! ten such tags on the same server, edits of one tag, and GETs. There is a single client, so that no
//! write waits or is retried; the result is the CPU time of the server.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bench::Bench;
use crate::caller::Caller;
use crate::client_pool::ClientPool;
use crate::comparison::{Comparison, Side};
use crate::corpus::{self, EVENTS_PER_TAG, NAMESPACE};
use crate::figures::Figures;
use crate::process::Process;
use crate::turn;
use crate::wire::{self, Connection};

/// Tags of the large stream.
const MANY: usize = 200;
/// Tags of the small stream.
const FEW: usize = 10;
/// Tag that the edits change.
const EDITED: usize = 7;
/// Annotation that the edits set.
const ANNOTATION: &str = "com.example.edit";
/// Deadline for creating a stream and for checking a write.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let place = Rc::new(Place::open(bench)?);
    let comparison = |write: Request| {
        let place = place.clone();
        let side = if write.tags() == MANY { Side::Ours } else { Side::SmallStream };
        Comparison::new(write.name(), side, move || place.turn(write))
    };
    Ok(Request::ALL.map(comparison).into())
}

/// Kinds of requests. Each repetition of a write has a new value.
#[derive(Clone, Copy)]
enum Request {
    /// New image for a tag of the stream with this number of tags, one tag after the other.
    Push { tags: usize },
    /// New annotation of one tag of the large stream, by strategic merge patch.
    StrategicPatch,
    /// The same edit by JSON patch.
    JsonPatch,
    /// The same edit by server-side apply.
    Apply,
    /// GET of the large stream, which changes nothing.
    Get,
}

impl Request {
    const ALL: [Self; 6] = [
        Self::Push { tags: FEW },
        Self::Push { tags: MANY },
        Self::StrategicPatch,
        Self::JsonPatch,
        Self::Apply,
        Self::Get,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Push { .. } => "tag push",
            Self::StrategicPatch => "strategic patch",
            Self::JsonPatch => "JSON patch",
            Self::Apply => "apply",
            Self::Get => "stream GET",
        }
    }

    /// Number of tags of the stream.
    fn tags(self) -> usize {
        if let Self::Push { tags } = self { tags } else { MANY }
    }

    /// Expected status of the response.
    fn status(self) -> u16 {
        if let Self::Push { .. } = self { 201 } else { 200 }
    }

    /// Request with the value of a number.
    fn request(self, number: usize) -> Vec<u8> {
        let tag =
            json!({"name": tag_name(EDITED), "annotations": {ANNOTATION: number.to_string()}});
        match self {
            Self::Push { tags } => push_request(number, tags),
            Self::Get => wire::get(&stream_path(MANY), Caller::Token),
            Self::StrategicPatch => patch_request(
                "",
                "application/strategic-merge-patch+json",
                &json!({"spec": {"tags": [tag]}}),
            ),
            Self::JsonPatch => {
                let path = format!("/spec/tags/{EDITED}/annotations/{ANNOTATION}");
                let operation = json!({"op": "add", "path": path, "value": number.to_string()});
                patch_request("", "application/json-patch+json", &json!([operation]))
            }
            Self::Apply => {
                let stream = stream_of(MANY, json!({"tags": [tag]}));
                patch_request(
                    "?fieldManager=applier&force=true",
                    "application/apply-patch+yaml",
                    &stream,
                )
            }
        }
    }

    /// Checks that a stream has the value of a number, if the request writes one.
    fn is_in(self, stream: &Value, number: usize) -> bool {
        match self {
            Self::Push { tags } => {
                let mut histories = stream["status"]["tags"].as_array().into_iter().flatten();
                let history = histories.find(|history| history["tag"] == tag_name(number % tags));
                history.is_some_and(|history| {
                    history["items"][0]["image"] == corpus::image(number).digest
                })
            }
            Self::Get => true,
            Self::StrategicPatch | Self::JsonPatch | Self::Apply => {
                let mut tags = stream["spec"]["tags"].as_array().into_iter().flatten();
                let value = number.to_string();
                tags.any(|tag| tag["annotations"][ANNOTATION] == value)
            }
        }
    }
}

/// Server with both streams.
struct Place<'a> {
    bench: &'a Bench,
    server: Process,
    _data: TempDir,
    /// Single client.
    pool: ClientPool,
    /// Number of the next value.
    next: AtomicUsize,
}

impl<'a> Place<'a> {
    fn open(bench: &'a Bench) -> anyhow::Result<Self> {
        let (server, data) = bench.fresh(Duration::ZERO)?;
        let pool = ClientPool { connections: 1, threads: 1, ..bench.pool.clone() };
        // From here on, every image is new.
        let next = AtomicUsize::new(bench.digests.len());
        let place = Self { bench, server, _data: data, pool, next };
        place.pool.run(place.server.address, LIMIT, async |connection, _| {
            for tags in [FEW, MANY] {
                make_stream(connection, tags).await?;
            }
            for write in Request::ALL {
                place
                    .check(connection, write)
                    .await
                    .with_context(|| format!("{} of a stream", write.name()))?;
            }
            Ok(())
        })?;
        Ok(place)
    }

    fn turn(&self, write: Request) -> anyhow::Result<Figures> {
        turn::drive(&self.pool, &self.server, self.bench.times(), async |connection, _, watch| {
            while watch.runs() {
                let request = write.request(self.number());
                watch.skip();
                expect(connection, &request, write.status()).await?;
                watch.lap();
            }
            Ok(())
        })
    }

    /// Checks that a write has its effect and keeps the size of the stream.
    async fn check(&self, connection: &mut Connection, write: Request) -> anyhow::Result<()> {
        let number = self.number();
        expect(connection, &write.request(number), write.status()).await?;
        let answer =
            expect(connection, &wire::get(&stream_path(write.tags()), Caller::Token), 200).await?;
        let stream: Value = serde_json::from_slice(&answer)?;
        let histories = stream["status"]["tags"].as_array().context("the stream has no history")?;
        let is_full =
            |history: &Value| history["items"].as_array().map(Vec::len) == Some(EVENTS_PER_TAG);
        ensure!(
            histories.len() == write.tags() && histories.iter().all(is_full),
            "the stream has changed its size"
        );
        ensure!(write.is_in(&stream, number), "a write has no effect");
        Ok(())
    }

    fn number(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Creates the stream with this number of tags and fills its history.
async fn make_stream(connection: &mut Connection, tags: usize) -> anyhow::Result<()> {
    let wanted = |tag| json!({"name": tag_name(tag), "annotations": {ANNOTATION: ""}});
    let stream = stream_of(tags, json!({"tags": (0..tags).map(wanted).collect::<Vec<_>>()}));
    let path = format!("/apis/image.openshift.io/v1/namespaces/{NAMESPACE}/imagestreams");
    expect(connection, &wire::post(&path, Caller::Token, stream.to_string().as_bytes()), 201)
        .await?;
    let histories: Vec<Value> = (0..tags).map(|tag| history(tags, tag)).collect();
    let status = json!({"status": {"tags": histories}}).to_string();
    let what = format!("PATCH {}/status", stream_path(tags));
    let request =
        wire::send(&what, Caller::Token, "application/merge-patch+json", status.as_bytes());
    expect(connection, &request, 200).await?;
    Ok(())
}

/// Full history of a tag, of images that no request names.
fn history(tags: usize, tag: usize) -> Value {
    let event = |number: usize| {
        let digest = corpus::digest(&format!("event {number} of tag {tag} of {tags}"));
        let registry = "image-registry.openshift-image-registry.svc:5000";
        json!({
            "created": format!("2026-03-{:02}T09:30:15Z", EVENTS_PER_TAG - number),
            "dockerImageReference": format!("{registry}/{NAMESPACE}/{}@{digest}", stream_name(tags)),
            "image": digest,
            "generation": 1,
        })
    };
    json!({"tag": tag_name(tag), "items": (0..EVENTS_PER_TAG).map(event).collect::<Vec<_>>()})
}

fn push_request(number: usize, tags: usize) -> Vec<u8> {
    let mut mapping: Value =
        serde_json::from_slice(&corpus::image(number).mapping).expect("a serialized value parses");
    mapping["metadata"]["name"] = stream_name(tags).into();
    mapping["tag"] = tag_name(number % tags).into();
    crate::fixtures::push_request(mapping.to_string().as_bytes())
}

fn patch_request(query: &str, content_type: &str, patch: &Value) -> Vec<u8> {
    let what = format!("PATCH {}{query}", stream_path(MANY));
    wire::send(&what, Caller::Token, content_type, patch.to_string().as_bytes())
}

fn stream_of(tags: usize, spec: Value) -> Value {
    let metadata = json!({"name": stream_name(tags), "namespace": NAMESPACE});
    json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1", "metadata": metadata, "spec": spec})
}

fn stream_name(tags: usize) -> String {
    format!("of-{tags}-tags")
}

fn stream_path(tags: usize) -> String {
    format!("/apis/image.openshift.io/v1/namespaces/{NAMESPACE}/imagestreams/{}", stream_name(tags))
}

fn tag_name(tag: usize) -> String {
    format!("v2.{tag}")
}

/// Sends a request and returns the body of the response.
async fn expect(
    connection: &mut Connection,
    request: &[u8],
    status: u16,
) -> anyhow::Result<Vec<u8>> {
    let answer = connection.exchange(request).await?;
    let text = || String::from_utf8_lossy(answer.body);
    ensure!(
        answer.status == status,
        "the response to a write has status {}: {}",
        answer.status,
        text()
    );
    Ok(answer.body.to_vec())
}
