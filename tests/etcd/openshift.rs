//! A server in the layout of openshift-apiserver, with writes of a plain client of etcd in between.

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::captured::{Captured, captured};
use crate::members::Members;
use crate::site::Replica;
use crate::support::client::{Client, Request};
use crate::support::server::TestServer;

const LAYOUT: &str = "--storage-layout=openshift";
const API: &str = "/apis/image.openshift.io/v1";

fn escaped(name: &str) -> impl Display {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
}

/// The path of the object of a key.
fn path(key: &str) -> String {
    match key.strip_prefix("/openshift.io/").and_then(|rest| rest.split_once('/')) {
        Some(("images", name)) => format!("{API}/images/{}", escaped(name)),
        Some(("imagestreams", rest)) => {
            let (namespace, name) = rest.split_once('/').expect("streams have namespaces");
            format!("{API}/namespaces/{namespace}/imagestreams/{}", escaped(name))
        }
        _ => panic!("{key} is no key of an image or stream"),
    }
}

/// The fields of an object that are stored.
fn stored(mut object: Value) -> Value {
    let fields = |object: &mut Value, part: &str, names: &[&str]| {
        if let Some(part) = object.get_mut(part).and_then(Value::as_object_mut) {
            names.iter().for_each(|name| drop(part.remove(*name)));
        }
    };
    fields(&mut object, "metadata", &["resourceVersion"]);
    fields(&mut object, "status", &["dockerImageRepository", "publicDockerImageRepository"]);
    object
}

async fn put(members: &Members, key: &str, value: &str) {
    let body = json!({"key": STANDARD.encode(key), "value": value});
    members.call(0, "/v3/kv/put", &body).await;
}

/// All keys in etcd.
async fn keys(members: &Members) -> Vec<String> {
    let all = json!({"key": "AA==", "range_end": "AA==", "keys_only": true});
    let found = members.call(0, "/v3/kv/range", &all).await;
    let keys = found["kvs"].as_array().expect("there are keys").iter();
    let decode = |kv: &Value| STANDARD.decode(kv["key"].as_str().expect("a key")).expect("base64");
    keys.map(|kv| String::from_utf8(decode(kv)).expect("keys are text")).collect()
}

async fn get(client: &Client, path: &str) -> (u16, Value) {
    let answer = client.send(Request::new("GET", path)).await.expect("the server responds");
    let body = serde_json::from_slice(&answer.body).expect("the response is JSON");
    (answer.status, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_another_server_are_seen_at_once() {
    let members = Members::start(1).await;
    let replica = Replica::start_with(&members, &[LAYOUT]).await;
    let client = replica.server.admin();
    let captured = captured();
    assert!(captured.len() > 200, "{}", captured.len());
    for Captured { key, value, object } in captured.values() {
        put(&members, key, value).await;
        let (status, found) = get(&client, &path(key)).await;
        assert_eq!((status, stored(found)), (200, stored(object.clone())), "{key}");
    }
    for key in captured.keys() {
        let body = json!({"key": STANDARD.encode(key)});
        members.call(0, "/v3/kv/deleterange", &body).await;
        assert_eq!(get(&client, &path(key)).await.0, 404, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_keys_stay_outside_of_the_shared_prefix() {
    let members = Members::start(1).await;
    let replica = Replica::start_with(&members, &[LAYOUT]).await;
    let client = replica.server.admin();
    let streams = format!("{API}/namespaces/ns/imagestreams");
    let stream = json!({"metadata": {"name": "s"}});
    let created = client.send(Request::new("POST", &streams).json(&stream)).await;
    assert_eq!(created.expect("a response").status, 201);
    let mapping = json!({"metadata": {"name": "s"}, "tag": "t", "image": {
        "metadata": {"name": "i"}, "dockerImageReference": "registry.example.com/a"}});
    let mappings = format!("{API}/namespaces/ns/imagestreammappings");
    let pushed = client.send(Request::new("POST", &mappings).json(&mapping)).await;
    assert_eq!(pushed.expect("a response").status, 201);
    let images = format!("{API}/namespaces/ns/imagestreamimages/s@i");
    assert_eq!(get(&client, &images).await.0, 200);
    assert_eq!(
        keys(&members).await,
        [
            "/imagestream-apiserver/shared/openshift.io/fence",
            "/imagestream-apiserver/shared/openshift.io/write",
            "/openshift.io/images/i",
            "/openshift.io/imagestreams/ns/s"
        ]
    );
}

/// The sentinel of a store in the native layout must not count as the latest revision.
#[tokio::test(flavor = "multi_thread")]
async fn store_in_the_native_layout_makes_no_read_stale() {
    let members = Members::start(1).await;
    let native = Replica::start(&members).await;
    let images = format!("{API}/images");
    let image =
        json!({"metadata": {"name": "i"}, "dockerImageReference": "registry.example.com/a"});
    let created = native.server.admin().send(Request::new("POST", &images).json(&image)).await;
    assert_eq!(created.expect("a response").status, 201);
    let shared = Replica::start_with(&members, &[LAYOUT]).await;
    let client = shared.server.admin();
    let captured = captured();
    let writes = captured.values().filter(|write| write.key.contains("/images/"));
    for (count, Captured { key, value, .. }) in writes.take(5).enumerate() {
        put(&members, key, value).await;
        let (_, list) = get(&client, &images).await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(count + 1), "{key}");
    }
}

/// A digest that is not in the history may be that of a child of any image of the stream.
#[tokio::test(flavor = "multi_thread")]
async fn change_elsewhere_does_not_read_all_images_again() {
    const IMAGES: usize = 30;
    let members = Members::start(1).await;
    let replica = Replica::start_with(&members, &[LAYOUT]).await;
    let client = replica.server.admin();
    let streams = format!("{API}/namespaces/ns/imagestreams");
    let stream = json!({"metadata": {"name": "s"}});
    let created = client.send(Request::new("POST", &streams).json(&stream)).await;
    assert_eq!(created.expect("a response").status, 201);
    let mappings = format!("{API}/namespaces/ns/imagestreammappings");
    for number in 0..IMAGES {
        let name = format!("sha256:{number:064x}");
        let image =
            json!({"metadata": {"name": name}, "dockerImageReference": "registry.example.com/a"});
        let mapping = json!({"metadata": {"name": "s"}, "tag": number.to_string(), "image": image});
        let pushed = client.send(Request::new("POST", &mappings).json(&mapping)).await;
        assert_eq!(pushed.expect("a response").status, 201);
    }
    let unknown = format!("{API}/namespaces/ns/imagestreamimages/s@sha256:{:f<64}", "");
    assert_eq!(get(&client, &unknown).await.0, 404);
    let before = members.reads(0).await;
    put(&members, "/elsewhere", "").await;
    assert_eq!(get(&client, &unknown).await.0, 404);
    let reads = members.reads(0).await - before;
    assert!(reads < IMAGES as u64 / 2, "{reads} reads");
    // Another server makes an image the list of the unknown one.
    let unknown_name = format!("sha256:{:f<64}", "");
    let mut list = json!({"kind": "Image", "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": format!("sha256:{:064x}", 0), "uid": "list"}});
    let mut child = list.clone();
    list["dockerImageManifests"] = json!([{"digest": unknown_name, "architecture": "amd64",
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "os": "linux", "manifestSize": 1}]);
    child["metadata"]["name"] = unknown_name.into();
    for image in [list, child] {
        let key =
            format!("/openshift.io/images/{}", image["metadata"]["name"].as_str().expect("a name"));
        put(&members, &key, &STANDARD.encode(image.to_string())).await;
    }
    assert_eq!(get(&client, &unknown).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_value_fails_alone() {
    let members = Members::start(1).await;
    let replica = Replica::start_with(&members, &[LAYOUT]).await;
    let client = replica.server.admin();
    put(&members, "/openshift.io/images/i", &STANDARD.encode(b"k8s:enc:aescbc:v1:key1:xyz")).await;
    assert_eq!(get(&client, &format!("{API}/images/i")).await.0, 500);
    assert_eq!(get(&client, &format!("{API}/images/j")).await.0, 404);
    let log = replica.server.log();
    assert!(log.iter().any(|line| line.contains("aescbc:v1:key1")), "{log:?}");
}
