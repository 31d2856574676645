//! Requests of operations, and what their responses say.

use serde_json::{Value, json};
use uuid::Uuid;

use super::record::{
    Call, Change, Collection, Content, Number, Object, PUSHED, Response, Revision, Version,
};
use crate::support::client::{Answer, Request};

const API: &str = "image.openshift.io/v1";
const NAMESPACE: &str = "history";
/// Annotation with the number of the last create, patch or update.
const LABEL: &str = "history/label";
const TAG: &str = "latest";

/// Response to one request. The server may also fail without a promise.
pub(crate) enum Reply {
    Done(Response),
    /// The code and the reason of a failure after which a write may have been applied.
    Failed(String),
}

/// The request of an operation, except of a list and an update.
pub(crate) fn request(number: Number, call: Call) -> Request {
    match call {
        Call::Get(object) => Request::new("GET", &path(object)),
        Call::GetPushed { stream, push } => {
            let (stream, image) = (name(stream), name(Object::pushed(push)));
            let target = format!("/apis/{API}/namespaces/{NAMESPACE}/imagestreamimages/");
            Request::new("GET", &format!("{target}{stream}@{image}"))
        }
        Call::Create(object) => {
            Request::new("POST", &collection(object.collection())).json(&body(number, object))
        }
        Call::Patch(_) => {
            let patch = json!({"metadata": {"annotations": {LABEL: number.to_string()}}});
            let mut request = Request::new("PATCH", &path(object_of(call)))
                .header("content-type", "application/merge-patch+json");
            request.body = Some(patch.to_string().into_bytes());
            request
        }
        Call::Delete(object) => Request::new("DELETE", &path(object)),
        Call::Push(stream) => {
            let target = format!("/apis/{API}/namespaces/{NAMESPACE}/imagestreammappings");
            let mut image = body(number, Object::pushed(number));
            image["metadata"] = json!({"name": name(Object::pushed(number))});
            let mapping = json!({"kind": "ImageStreamMapping", "apiVersion": API,
                "metadata": {"name": name(stream)}, "tag": TAG, "image": image});
            Request::new("POST", &target).json(&mapping)
        }
        Call::List(_) | Call::Update(..) => panic!("{call:?} needs more than its object"),
    }
}

/// Replaces an object, as a read returned it, with the label of this update.
pub(crate) fn update(number: Number, object: Object, mut current: Value) -> Request {
    current["metadata"]["annotations"][LABEL] = number.to_string().into();
    Request::new("PUT", &path(object)).json(&current)
}

/// The page of a list after a continue token.
pub(crate) fn page(of: Collection, limit: Option<usize>, after: Option<&str>) -> Request {
    let limit = limit.map(|limit| format!("limit={limit}"));
    let after = after.map(|token| format!("continue={token}"));
    let query: Vec<String> = limit.into_iter().chain(after).collect();
    Request::new("GET", &format!("{}?{}", collection(of), query.join("&")))
}

/// A watch with bookmarks that ends after some seconds.
pub(crate) fn watch(of: Collection, after: Revision, seconds: u64) -> Request {
    let target = collection(of);
    let query = "watch=true&allowWatchBookmarks=true";
    let target = format!("{target}?{query}&resourceVersion={after}&timeoutSeconds={seconds}");
    Request::new("GET", &target)
}

/// The meaning of the response to an operation. Panics if no correct server responds so.
pub(crate) fn reply(call: Call, answer: &Answer) -> Reply {
    let text = || String::from_utf8_lossy(&answer.body).into_owned();
    let body = || answer.json().unwrap_or_else(|why| panic!("{why}: {}", text()));
    let reason = || body()["reason"].as_str().unwrap_or_default().to_owned();
    match (call, answer.status) {
        (Call::GetPushed { .. }, 200) => Reply::Done(Response::Found),
        (Call::Push(_), 201) => Reply::Done(Response::Pushed),
        (Call::Delete(_), 200) => Reply::Done(Response::Deleted(deleted_uid(&body()))),
        (_, 200 | 201) => Reply::Done(Response::Object(version(&body()))),
        (_, 404) => Reply::Done(Response::Absent),
        (Call::Create(_), 409) if reason() == "AlreadyExists" => Reply::Done(Response::Exists),
        // A conflict of any write promises, as an error of a limit does, that nothing was changed.
        (_, 409 | 429 | 507) => Reply::Done(Response::Refused),
        (_, 500..) => Reply::Failed(format!("{} {}", answer.status, cause(&body()))),
        _ => panic!("{call:?} returned {}: {}", answer.status, text()),
    }
}

/// Items, revision and continue token of a page.
pub(crate) struct Page {
    pub(crate) items: Vec<(Object, Version)>,
    pub(crate) revision: Revision,
    pub(crate) after: Option<String>,
}

impl Page {
    pub(crate) fn of(answer: &Answer) -> Self {
        let body = answer.json().expect("a list is JSON");
        let items = body["items"].as_array().expect("a list has items");
        let after = body["metadata"]["continue"].as_str().filter(|token| !token.is_empty());
        Self {
            items: items.iter().map(|item| (object(item), version(item))).collect(),
            revision: revision(&body),
            after: after.map(str::to_owned),
        }
    }
}

/// One line of a watch.
pub(crate) enum Line {
    Event(Change, Object, Version),
    Bookmark(Revision),
    /// The watch ends with this code and message.
    Error(u64, String),
}

impl Line {
    pub(crate) fn of(event: &Value) -> Self {
        let item = &event["object"];
        let change = match event["type"].as_str() {
            Some("ADDED") => Change::Added,
            Some("MODIFIED") => Change::Modified,
            Some("DELETED") => Change::Deleted,
            Some("BOOKMARK") => return Self::Bookmark(revision(item)),
            Some("ERROR") => {
                let message = item["message"].as_str().unwrap_or_default();
                return Self::Error(item["code"].as_u64().unwrap_or_default(), message.to_owned());
            }
            _ => panic!("unknown type of event: {event}"),
        };
        Self::Event(change, object(item), version(item))
    }
}

fn object_of(call: Call) -> Object {
    call.object().expect("the call names an object")
}

fn collection(of: Collection) -> String {
    match of {
        Collection::Streams => format!("/apis/{API}/namespaces/{NAMESPACE}/imagestreams"),
        Collection::Images => format!("/apis/{API}/images"),
    }
}

fn path(object: Object) -> String {
    format!("{}/{}", collection(object.collection()), name(object))
}

fn name(object: Object) -> String {
    match object {
        Object::Stream(number) => format!("stream-{number}"),
        Object::Image(number) => format!("sha256:{number:064x}"),
    }
}

fn body(number: Number, object: Object) -> Value {
    let kind = match object.collection() {
        Collection::Streams => "ImageStream",
        Collection::Images => "Image",
    };
    let name = name(object);
    let mut body = json!({"kind": kind, "apiVersion": API,
        "metadata": {"name": name, "annotations": {LABEL: number.to_string()}}});
    if object.collection() == Collection::Images {
        body["dockerImageReference"] = format!("registry.example.com/a/b@{name}").into();
    }
    body
}

/// The object that a response shows.
fn object(item: &Value) -> Object {
    let name = item["metadata"]["name"].as_str().expect("an object has a name");
    if let Some(number) = name.strip_prefix("stream-") {
        Object::Stream(number.parse().expect("the name of a stream has a number"))
    } else {
        image(name)
    }
}

fn image(digest: &str) -> Object {
    let hex = digest.strip_prefix("sha256:").expect("the name of an image is a digest");
    Object::Image(u64::from_str_radix(hex, 16).expect("the digest is a number"))
}

fn version(item: &Value) -> Version {
    let metadata = &item["metadata"];
    let uid = Uuid::parse_str(metadata["uid"].as_str().unwrap_or_default());
    let label = metadata["annotations"][LABEL].as_str().map(|text| text.parse());
    // The newest event of the tag of a stream, or the name of an image that was pushed.
    let tags = item["status"]["tags"].as_array();
    let tag = tags.and_then(|tags| tags.iter().find(|each| each["tag"] == TAG));
    let newest = tag.and_then(|tag| tag["items"][0]["image"].as_str()).map(image);
    let push = match newest.unwrap_or_else(|| object(item)) {
        Object::Image(number) => number.checked_sub(PUSHED),
        Object::Stream(_) => None,
    };
    let content = Content {
        uid: uid.expect("an object has a uid").as_u128(),
        label: label.map(|number| number.expect("the label is a number")),
        push,
    };
    Version { revision: revision(item), content }
}

fn revision(item: &Value) -> Revision {
    let text = item["metadata"]["resourceVersion"].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no revision: {item}"))
}

/// The uid of a deleted object, from a `Status` or from the object.
fn deleted_uid(body: &Value) -> u128 {
    let uid = body["details"]["uid"].as_str().or_else(|| body["metadata"]["uid"].as_str());
    let uid = uid.unwrap_or_else(|| panic!("a delete names no uid: {body}"));
    Uuid::parse_str(uid).expect("it is a uid").as_u128()
}

/// The message of a failure without its numbers, which would make every one unique.
fn cause(body: &Value) -> String {
    let message = body["message"].as_str().unwrap_or_default();
    message.chars().map(|letter| if letter.is_ascii_digit() { '#' } else { letter }).collect()
}
