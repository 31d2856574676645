//! Protobuf on the wire, as typed clients use it. The tests encode and decode it by hand.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::json;

use crate::fixtures::{self, digest, image, mapping, stream};
use crate::harness::{Api, Expect, MAPPINGS, STREAM_IMAGES, STREAMS, request};
use crate::support::client::{Answer, Request};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// An encoded message.
#[derive(Clone, Debug, Default, PartialEq)]
struct Message(Vec<u8>);

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Message {
    fn number(mut self, field: u8, value: u8) -> Self {
        assert!(value < 0x80, "one byte is enough");
        self.0.extend([field << 3, value]);
        self
    }

    fn bytes(mut self, field: u8, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.0.push(field << 3 | 2);
        let mut length = value.len();
        while length >= 0x80 {
            self.0.push(length as u8 | 0x80);
            length >>= 7;
        }
        self.0.push(length as u8);
        self.0.extend(value);
        self
    }

    fn message(self, field: u8, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    /// Encodes the message as the body of a request.
    fn body(&self, api_version: &str, kind: &str) -> Vec<u8> {
        let unknown = Self::default()
            .message(1, &Self::default().bytes(1, api_version).bytes(2, kind))
            .message(2, self);
        [b"k8s\0".as_slice(), &unknown.0].concat()
    }

    fn fields(&self) -> Vec<(u64, Value)> {
        let mut rest = self.0.as_slice();
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let tag = varint(&mut rest);
            let number = varint(&mut rest);
            let value = match tag & 7 {
                0 => Value::Number(number),
                2 => {
                    let (value, after) = rest.split_at(usize::try_from(number).unwrap());
                    rest = after;
                    Value::Bytes(value.to_vec())
                }
                other => panic!("unexpected wire type {other}"),
            };
            fields.push((tag >> 3, value));
        }
        fields
    }

    /// Returns all messages of a field.
    fn all(&self, field: u64) -> Vec<Self> {
        let values = self.fields().into_iter().filter(|(number, _)| *number == field);
        values
            .map(|(_, value)| match value {
                Value::Bytes(bytes) => Self(bytes),
                Value::Number(number) => panic!("field {field} is the number {number}"),
            })
            .collect()
    }

    /// Returns the message of a field that occurs once.
    fn one(&self, field: u64) -> Self {
        let [one] = self.all(field).try_into().expect("the field occurs once");
        one
    }

    fn text(&self, field: u64) -> String {
        String::from_utf8(self.one(field).0).unwrap()
    }

    /// Returns the number in a field.
    fn count(&self, field: u64) -> u64 {
        match self.fields().into_iter().find(|(number, _)| *number == field) {
            Some((_, Value::Number(number))) => number,
            other => panic!("field {field} is {other:?}"),
        }
    }
}

fn varint(rest: &mut &[u8]) -> u64 {
    let length = rest.iter().position(|byte| *byte < 0x80).expect("a number ends") + 1;
    let (bytes, after) = rest.split_at(length);
    *rest = after;
    bytes.iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f))
}

/// Returns the message of a response of this kind.
#[track_caller]
fn of_kind(answer: &Answer, code: u16, api_version: &str, kind: &str) -> Message {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (code, Some(PROTOBUF)),
        "{answer:?}"
    );
    let unknown = answer
        .body
        .strip_prefix(b"k8s\0")
        .expect("the response starts with the Kubernetes protobuf prefix");
    let unknown = Message(unknown.to_vec());
    let own_type = unknown.one(1);
    assert_eq!((own_type.text(1), own_type.text(2)), (api_version.to_owned(), kind.to_owned()));
    assert_eq!((unknown.text(3), unknown.text(4)), (String::new(), String::new()));
    unknown.one(2)
}

const V1: &str = "image.openshift.io/v1";

fn ask(method: &str, path: &str) -> Request {
    request(method, path).header("accept", PROTOBUF)
}

fn send(method: &str, path: &str, body: Vec<u8>) -> Request {
    Request { body: Some(body), ..ask(method, path).header("content-type", PROTOBUF) }
}

fn named(name: &str) -> Message {
    Message::default().message(1, &Message::default().bytes(1, name))
}

#[tokio::test]
async fn a_stream_is_made_read_and_replaced() {
    let api = Api::start().await;
    let tag = Message::default().bytes(1, "latest").number(4, 1);
    let wanted = named("s").message(2, &Message::default().message(2, &tag));
    let made = api.ask(send("POST", STREAMS, wanted.body(V1, "ImageStream"))).await;
    let made = of_kind(&made, 201, V1, "ImageStream");
    assert_eq!((made.one(1).text(1), made.one(1).text(3)), ("s".to_owned(), "ns".to_owned()));
    let shown = api.get(&format!("{STREAMS}/s")).await.is(200);
    assert_eq!(shown["spec"]["tags"][0]["name"], "latest");
    assert_eq!(
        (&shown["spec"]["tags"][0]["reference"], shown["metadata"]["uid"].as_str()),
        (&json!(true), Some(&*made.one(1).text(5)))
    );
    assert_eq!(made.one(2).one(2).one(7).text(1), "Source");

    // A client can send back the object that it read, which changes nothing.
    let path = format!("{STREAMS}/s");
    let read = api.ask(ask("GET", &path)).await;
    of_kind(&read, 200, V1, "ImageStream");
    let same = api.ask(send("PUT", &path, read.body.clone())).await;
    of_kind(&same, 200, V1, "ImageStream");
    assert_eq!(same.body, read.body);
    // Concatenated messages merge, as the protobuf encoding defines.
    let labels = Message::default().message(
        1,
        &Message::default().message(11, &Message::default().bytes(1, "a").bytes(2, "b")),
    );
    let more = Message([of_kind(&read, 200, V1, "ImageStream").0, labels.0].concat());
    of_kind(&api.ask(send("PUT", &path, more.body("", ""))).await, 200, V1, "ImageStream");
    assert_eq!(api.get(&path).await.is(200)["metadata"]["labels"], json!({"a": "b"}));
}

#[tokio::test]
async fn images_are_read_alone_and_through_their_stream() {
    let api = Api::with_stream().await;
    let name = digest("1");
    let mut sent = image(&name);
    sent["dockerImageMetadata"] = json!({"Id": "<id>", "Size": 7});
    api.post(MAPPINGS, &mapping("s", "latest", &sent)).await.is(201);
    let stored = of_kind(&api.ask(ask("GET", &format!("images/{name}"))).await, 200, V1, "Image");
    assert_eq!(stored.text(4), "1.0");
    let metadata = stored.one(3).text(1);
    assert!(
        metadata.contains(r#""Id":"\u003cid\u003e""#) && metadata.ends_with("}\n"),
        "{metadata}"
    );
    let path = format!("{STREAM_IMAGES}/s@{name}");
    let shown = of_kind(&api.ask(ask("GET", &path)).await, 200, V1, "ImageStreamImage");
    assert_eq!((shown.one(1).text(1), shown.one(2).one(1)), (format!("s@{name}"), stored.one(1)));
    let tag = api.ask(ask("GET", "namespaces/ns/imagestreamtags/s:latest")).await;
    assert_eq!(of_kind(&tag, 200, V1, "ImageStreamTag").one(5), shown.one(2));
    let layers = of_kind(
        &api.ask(ask("GET", &format!("{STREAMS}/s/layers"))).await,
        200,
        V1,
        "ImageStreamLayers",
    );
    assert_eq!(layers.one(3).text(1), name);
    of_kind(&api.ask(ask("GET", &format!("{STREAMS}/s/secrets"))).await, 200, V1, "SecretList");
}

/// Items come from the stored JSON, and single objects from the decoded one. Their bytes are equal.
#[tokio::test]
async fn items_of_a_large_list_equal_single_images() {
    let api = Api::start().await;
    for number in 0..9 {
        let mut sent = image(&digest(&number.to_string()));
        sent["metadata"]["labels"] =
            json!({"b": "1", "a": "2", "even": (number % 2 == 0).to_string()});
        sent["metadata"]["annotations"] = json!({"text": "x".repeat(20_000)});
        sent["dockerImageMetadata"] =
            json!({"Id": "<id>", "Size": 7, "Config": {"Env": [null, "A=1"]}});
        api.post("images", &sent).await.is(201);
    }
    for query in ["", "?limit=8", "?labelSelector=even%3Dtrue", "?limit=2"] {
        let list = api.ask(ask("GET", &format!("images{query}"))).await;
        let list = of_kind(&list, 200, V1, "ImageList");
        let same = api.get(&format!("images{query}")).await.is(200);
        let names = fixtures::names(&same);
        assert_eq!(list.all(2).len(), names.len(), "{query}");
        for (item, name) in list.all(2).iter().zip(names) {
            let alone = api.ask(ask("GET", &format!("images/{name}"))).await;
            assert!(*item == of_kind(&alone, 200, V1, "Image"), "{name} in {query}");
        }
    }
}

#[tokio::test]
async fn lists_hold_objects_or_their_metadata() {
    let api = Api::start().await;
    for name in ["a", "b"] {
        api.post(STREAMS, &stream(name)).await.is(201);
    }
    let whole = of_kind(&api.ask(ask("GET", STREAMS)).await, 200, V1, "ImageStreamList");
    let names =
        |list: &Message| list.all(2).iter().map(|item| item.one(1).text(1)).collect::<Vec<_>>();
    assert_eq!(names(&whole), ["a", "b"]);
    assert_eq!(
        whole.all(2)[0],
        of_kind(&api.ask(ask("GET", &format!("{STREAMS}/a"))).await, 200, V1, "ImageStream")
    );
    assert_eq!(whole.one(1).text(2), api.get(STREAMS).await.is(200)["metadata"]["resourceVersion"]);
    let page = of_kind(
        &api.ask(ask("GET", &format!("{STREAMS}?limit=1"))).await,
        200,
        V1,
        "ImageStreamList",
    );
    assert_eq!((names(&page), page.one(1).count(4)), (vec!["a".to_owned()], 1));
    let none = of_kind(&api.ask(ask("GET", "images")).await, 200, V1, "ImageList");
    assert_eq!(none.all(2), []);

    let metadata =
        format!("{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json");
    let partial = api.ask(request("GET", STREAMS).header("accept", &metadata)).await;
    let partial = of_kind(&partial, 200, "meta.k8s.io/v1", "PartialObjectMetadataList");
    assert_eq!(
        partial.all(2).iter().map(|item| item.one(1)).collect::<Vec<_>>(),
        whole.all(2).iter().map(|item| item.one(1)).collect::<Vec<_>>()
    );
    assert_eq!(partial.all(2)[0].fields().len(), 1);
    let metadata = format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let one = api.ask(request("GET", &format!("{STREAMS}/a")).header("accept", &metadata)).await;
    assert_eq!(of_kind(&one, 200, "meta.k8s.io/v1", "PartialObjectMetadata"), partial.all(2)[0]);
}

#[tokio::test]
async fn options_of_a_deletion_count() {
    let api = Api::with_stream().await;
    let path = format!("{STREAMS}/s");
    let dry = Message::default().bytes(5, "All");
    of_kind(
        &api.ask(send("DELETE", &path, dry.body(V1, "DeleteOptions"))).await,
        200,
        "v1",
        "Status",
    );
    let of_another = Message::default().message(2, &Message::default().bytes(1, "another"));
    let refused =
        api.ask(send("DELETE", &path, of_another.body("meta.k8s.io/v1", "DeleteOptions"))).await;
    let refused = of_kind(&refused, 409, "v1", "Status");
    assert_eq!(
        (refused.text(2), refused.text(4), refused.count(6)),
        ("Failure".to_owned(), "Conflict".to_owned(), 409)
    );
    let other = api.ask(send("DELETE", &path, named("s").body(V1, "ImageStream"))).await;
    assert!(
        of_kind(&other, 400, "v1", "Status")
            .text(3)
            .starts_with("no kind \"ImageStream\" is registered")
    );
    let cut = api.ask(send("DELETE", &path, b"k8s\0\x0a".to_vec())).await;
    assert_eq!(of_kind(&cut, 400, "v1", "Status").text(3), "unexpected EOF");
    api.get(&path).await.is(200);
    of_kind(
        &api.ask(send("DELETE", &path, Message::default().body("", ""))).await,
        200,
        "v1",
        "Status",
    );
    api.get(&path).await.is(404);
}

#[tokio::test]
async fn errors_are_statuses_and_say_what_is_wrong_with_a_body() {
    let api = Api::start().await;
    let missing = of_kind(&api.ask(ask("GET", &format!("{STREAMS}/s"))).await, 404, "v1", "Status");
    assert_eq!(missing.text(3), "imagestreams.image.openshift.io \"s\" not found");
    assert_eq!(
        (missing.one(5).text(1), missing.one(5).text(3)),
        ("s".to_owned(), "imagestreams".to_owned())
    );
    let unrecognized = "the object provided is unrecognized (must be of type ImageStream): ";
    let prefix =
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
    let unusable = "ImageStream in version \"v1\" cannot be handled as a ImageStream: ";
    let cases = [
        (b"zzzz".to_vec(), format!("{unrecognized}{prefix} (7a7a7a7a)")),
        (b"".to_vec(), format!("{unrecognized}empty data (<empty>)")),
        (b"k8s\0".to_vec(), format!("{unrecognized}empty body (6b387300)")),
        (b"k8s\0\x0a".to_vec(), format!("{unrecognized}unexpected EOF (6b3873000a)")),
        (Message(vec![0x0a]).body(V1, "ImageStream"), format!("{unusable}unexpected EOF")),
        (
            Message(vec![8, 1]).body("", ""),
            format!("{unusable}proto: wrong wireType = 0 for field metadata"),
        ),
        (
            named("s").body("v1", "ImageStream"),
            format!(
                "the API version in the data (v1) does not match the expected API version ({V1})"
            ),
        ),
    ];
    for (body, text) in cases {
        let answer = api.ask(send("POST", STREAMS, body)).await;
        assert_eq!(of_kind(&answer, 400, "v1", "Status").text(3), text);
    }
    let invalid = api.ask(send("POST", STREAMS, named("S").body(V1, "ImageStream"))).await;
    let invalid = of_kind(&invalid, 422, "v1", "Status");
    assert_eq!(invalid.one(5).one(4).text(3), "metadata.name");
    let table = format!("{PROTOBUF};as=Table;g=meta.k8s.io;v=v1");
    let refused = api.ask(request("GET", STREAMS).header("accept", &table)).await;
    assert_eq!((refused.status, refused.header("content-type")), (406, Some("application/json")));
}

#[tokio::test]
async fn large_answers_are_compressed() {
    let api = Api::start().await;
    let mut large = image(&digest("1"));
    large["dockerImageConfig"] = "x".repeat(200 << 10).into();
    api.post("images", &large).await.is(201);
    let path = format!("images/{}", digest("1"));
    let plain = api.ask(ask("GET", &path)).await;
    let compressed = api.ask(ask("GET", &path).header("accept-encoding", "gzip")).await;
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    let mut content = Vec::new();
    GzDecoder::new(compressed.body.as_slice()).read_to_end(&mut content).unwrap();
    assert!(content == plain.body && compressed.body.len() < plain.body.len() / 10);
}

#[tokio::test]
async fn discovery_is_told() {
    let api = Api::start().await;
    let get =
        async |path: &str| api.ask(Request::new("GET", path).header("accept", PROTOBUF)).await;
    let group = of_kind(&get("/apis/image.openshift.io").await, 200, "v1", "APIGroup");
    assert_eq!(
        (group.text(1), group.one(2), group.one(3).text(2)),
        (V1[..18].to_owned(), group.one(3), "v1".to_owned())
    );
    // The list has no apiVersion of its own, as in JSON.
    let groups = of_kind(&get("/apis").await, 200, "", "APIGroupList");
    assert_eq!(groups.one(1), group);
    let resources =
        of_kind(&get("/apis/image.openshift.io/v1").await, 200, "v1", "APIResourceList");
    let streams = resources.all(2).into_iter().find(|each| each.text(1) == "imagestreams").unwrap();
    assert_eq!(
        (streams.count(2), streams.text(3), streams.text(5)),
        (1, "ImageStream".to_owned(), "is".to_owned())
    );
    assert!(streams.one(4).all(1).contains(&Message(b"list".to_vec())));
}
