//! Large lists, which the server sends while it reads them.

use std::fs;
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pages::with_images;
use crate::fixtures::names;
use crate::harness::{Api, EMBEDDED, Expect, ProcessApi, TestServer, V1, eventually, request};
use crate::overload::resident;

#[tokio::test]
async fn a_small_list_has_a_length_and_a_large_one_comes_in_parts() {
    let api: Api = with_images(&[], 20, 20_000).await;
    let small = api.get("images?limit=3").await;
    assert!(
        small.header("content-length").is_some() && small.header("transfer-encoding").is_none()
    );
    let large = api.get("images").await;
    assert!(large.header("content-length").is_none());
    assert_eq!(large.header("transfer-encoding"), Some("chunked"));
    assert_eq!(names(&large.is(200)).len(), 20);
}

#[tokio::test]
async fn a_large_list_is_the_same_in_every_representation() {
    let api: Api = with_images(&[], 20, 20_000).await;
    let plain = api.get("images").await;
    let list = plain.is(200);
    let pretty = api.get("images?pretty=true").await;
    assert_eq!(pretty.is(200), list);
    assert!(
        pretty.body.starts_with(b"{\n  \"kind\": \"ImageList\",\n")
            && pretty.body.ends_with(b"\n  ]\n}")
    );

    let compressed = api.ask(request("GET", "images").header("accept-encoding", "gzip")).await;
    let header = |name| compressed.header(name);
    assert_eq!(
        (header("content-encoding"), header("vary")),
        (Some("gzip"), Some("Accept-Encoding"))
    );
    let mut body = Vec::new();
    GzDecoder::new(&*compressed.body).read_to_end(&mut body).expect("the response is complete");
    assert_eq!(body, plain.body);

    let yaml = api.get_as("images", "application/yaml").await;
    let yaml = String::from_utf8(yaml.body).expect("YAML is text");
    assert!(
        yaml.starts_with("apiVersion: image.openshift.io/v1\nitems:\n- dockerImageMetadata:\n"),
        "{yaml:.90}"
    );
    assert_eq!(yaml.matches("\n- dockerImageMetadata:").count(), 20);
    assert!(yaml.ends_with(&format!(
        "\nkind: ImageList\nmetadata:\n  resourceVersion: \"{}\"\n",
        super::version(&list)
    )));

    for (r#as, objects) in [("Table", "rows"), ("PartialObjectMetadataList", "items")] {
        let answer = api
            .get_as("images", &format!("application/json;as={as};v=v1;g=meta.k8s.io", r#as = r#as))
            .await;
        let shown = answer.is(200);
        assert_eq!((&shown["kind"], &shown["metadata"]), (&Value::from(r#as), &list["metadata"]));
        assert_eq!(shown[objects].as_array().map(Vec::len), Some(20));
    }
}

#[tokio::test]
async fn a_list_without_objects_says_so() {
    let api: Api = with_images(&[], 1, 1).await;
    let empty = "images?labelSelector=nosuch";
    assert_eq!(api.get(empty).await.is(200)["items"], serde_json::json!([]));
    let yaml = api.get_as(empty, "application/yaml").await.body;
    assert!(yaml.starts_with(b"apiVersion: image.openshift.io/v1\nitems: []\nkind: ImageList\n"));
}

#[tokio::test]
async fn a_long_list_takes_little_memory_however_slowly_it_is_read() {
    const IMAGES: usize = 100;
    const BYTES: usize = 250_000;
    let api: ProcessApi = with_images(&[], IMAGES, BYTES).await;
    // One-time allocations are not part of the measurement.
    api.get("images?limit=20").await.is(200);
    let before = resident(&api);
    let mut slow = api.client.open(&["http/1.1"]).await.expect("the port is open");
    let head = format!(
        "GET {V1}/images HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer token-of-admin\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.expect("the request is sent");
    let (mut read, mut most, mut piece) = (0, 0, vec![0; 64 << 10]);
    loop {
        most = most.max(resident(&api).saturating_sub(before));
        match slow.read(&mut piece).await.expect("the response is not cut off") {
            0 => break,
            bytes => read += bytes,
        }
    }
    assert!(read > IMAGES * BYTES, "{read} bytes were read");
    assert!(most < 12 << 20, "the server grew by {most} bytes for a list of {read}");
}

/// Flips a bit at every occurrence of a text in the store file of the server.
fn damage(api: &Api, text: &str) {
    let path = api.server.folder().join("data/store.redb");
    let mut content = fs::read(&path).expect("the file can be read");
    let starts = 0..content.len() - text.len();
    let places: Vec<usize> =
        starts.filter(|at| content[*at..].starts_with(text.as_bytes())).collect();
    assert!(!places.is_empty(), "the text is in the file");
    places.into_iter().for_each(|at| content[at] ^= 1);
    fs::write(path, content).expect("the file can be written");
}

#[tokio::test]
async fn a_list_that_cannot_be_read_to_its_end_does_not_look_complete() {
    let mut api: Api = with_images(&[EMBEDDED], 20, 20_000).await;
    // The store can compress nothing of this text but its end.
    const MARK: &str = "7f3kq0zd8wv1xj5";
    let mark = serde_json::json!({"metadata": {"annotations": {"mark": MARK}}});
    let mut patch =
        request("PATCH", "images/i15").header("content-type", "application/merge-patch+json");
    patch.body = Some(mark.to_string().into_bytes());
    api.ask(patch).await.is(200);
    api.server.stop().await;
    damage(&api, &MARK[..10]);
    api.restart().await;

    let page = api.get("images?limit=1").await.is(200);
    let version = page["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let exact = format!("images?resourceVersion={version}&resourceVersionMatch=Exact");
    let broken = api.client.send(request("GET", &exact)).await;
    assert!(broken.is_err(), "the response is cut off");
    let told = || async {
        api.server.log().iter().any(|line| line.contains("cannot read the rest of a list"))
    };
    eventually("the log reports the error", told).await;
    // The damage is known now, so the next list does not begin.
    let list = api.get("images").await.is(500);
    assert_eq!(list["details"]["causes"][0]["field"], "/image.openshift.io/images/i15", "{list}");
    let first = api.get("images?limit=15").await.is(200);
    let token = first["metadata"]["continue"].as_str().unwrap_or_default();
    // An error before the first byte of the response becomes a status.
    api.get(&format!("images?continue={token}")).await.is(500);
    api.get("images/i14").await.is(200);
}

/// Decodes a protobuf varint and returns it with the rest.
fn varint(bytes: &[u8]) -> (usize, &[u8]) {
    let length = bytes.iter().position(|byte| *byte < 0x80).expect("a number ends") + 1;
    let (number, rest) = bytes.split_at(length);
    (number.iter().rev().fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f)), rest)
}

/// Returns the content of the first field, which must have this tag, and the rest.
fn field(tag: u8, bytes: &[u8]) -> (&[u8], &[u8]) {
    assert_eq!(bytes[0], tag);
    let (length, rest) = varint(&bytes[1..]);
    rest.split_at(length)
}

/// The encoded items of a protobuf list, one after the other.
fn items(body: &[u8]) -> &[u8] {
    let (_, raw) = field(0x0a, body.strip_prefix(b"k8s\0").expect("the body is protobuf"));
    let (list, end) = field(0x12, raw);
    assert_eq!(end, [0x1a, 0, 0x22, 0]);
    field(0x0a, list).1
}

#[tokio::test]
async fn large_protobuf_list_equals_its_pages() {
    let api: Api = with_images(&[], 20, 20_000).await;
    for accept in ["", ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"] {
        let accept = format!("application/vnd.kubernetes.protobuf{accept}");
        let large = api.get_as("images", &accept).await;
        assert_eq!(large.header("content-type"), Some("application/vnd.kubernetes.protobuf"));
        assert_eq!(large.header("transfer-encoding"), Some("chunked"));
        let limited = api.get_as("images?limit=19", &accept).await;
        let (mut pages, mut token) = (Vec::new(), String::new());
        for page in 0..5 {
            let path = format!("images?limit=4&continue={token}");
            pages.extend_from_slice(items(&api.get_as(&path, &accept).await.body));
            token = api.get(&path).await.is(200)["metadata"]["continue"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            assert_eq!(token.is_empty(), page == 4);
        }
        assert!(items(&large.body) == pages, "the pages together equal the list");
        assert!(pages.starts_with(items(&limited.body)) && limited.body.len() > 19 * 20_000);
    }
}
