//! Watches of kubectl, on both servers.

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::objects::{self, V1};
use super::places::{Place, WORKSHOP, places};
use super::site::shared;
use crate::support::client::Request;
use crate::support::expect::Expect;

#[tokio::test]
async fn kubectl_tells_what_happens_while_it_happens() {
    for place in places().await {
        place.give(&["create"], &objects::stream("watched")).done();
        let all =
            ["get", "imagestream/watched", "--watch", "--output-watch-events", "--no-headers"];
        let following = place.follow(&all);
        following.expect("ADDED");
        place.run(&["label", "imagestream/watched", "step=one"]).done();
        assert!(following.expect("MODIFIED").contains("watched"));
        place.run(&["delete", "imagestream/watched"]).done();
        following.expect("DELETED");
    }
}

#[tokio::test]
async fn kubectl_can_watch_from_now_on_only() {
    for place in places().await {
        place.give(&["create"], &objects::stream("before")).done();
        let only = [
            "--watch-only",
            "--output-watch-events",
            "--no-headers",
            "--selector=watched=only",
            "--v=6",
        ];
        let following = place.follow(&[&["get", "imagestreams"], only.as_slice()].concat());
        following.expect_watch();
        place.run(&["label", "imagestream/before", "watched=only"]).done();
        assert!(following.expect("ADDED").contains("before"));
    }
}

#[tokio::test]
async fn kubectl_waits_for_what_is_to_become_true() {
    for place in places().await {
        place.give(&["create"], &objects::stream("awaited")).done();
        let wanted = "--for=jsonpath={.metadata.labels.step}=done";
        let waiting = place.follow(&["wait", "imagestream/awaited", wanted, "--timeout=90s"]);
        place.run(&["label", "imagestream/awaited", "step=done"]).done();
        waiting.expect("imagestream.image.openshift.io/awaited condition met");
        // `kubectl wait --for=delete` prints nothing if the object is already gone, so its watch
        // must be open first.
        let waiting = place.follow(&[
            "wait",
            "imagestream/awaited",
            "--for=delete",
            "--timeout=90s",
            "--v=6",
        ]);
        waiting.expect_watch();
        place.run(&["delete", "imagestream/awaited", "--wait=false"]).done();
        waiting.expect("imagestream.image.openshift.io/awaited condition met");
    }
}

/// A stream with labels and an image under the tag `latest`.
fn pushed(place: &Place, stream: &str) {
    let mut object = objects::stream(stream);
    object["metadata"]["labels"] = json!({"of": stream});
    place.give(&["create"], &object).done();
    let mapping = objects::mapping(stream, objects::DIGEST);
    place.give(&["create", objects::WITHOUT_VALIDATION], &mapping).done();
}

#[tokio::test]
async fn kubectl_watches_tags_of_streams() {
    for place in places().await {
        pushed(&place, "watched-tags");
        let options = ["--watch", "--output-watch-events", "--no-headers"];
        let selected = ["--selector=of=watched-tags", "--v=6"];
        let all =
            place.follow(&[&["get", "imagestreamtags"], &options[..], &selected[..]].concat());
        all.expect_watch();
        let one = place.follow(&[&["get", "istag/watched-tags:latest"], &options[..]].concat());
        assert!(one.expect("ADDED").contains("watched-tags:latest"));
        let newer = objects::mapping("watched-tags", objects::NEWER);
        place.give(&["create", objects::WITHOUT_VALIDATION], &newer).done();
        for following in [&all, &one] {
            let line = following.expect("MODIFIED");
            assert!(line.contains(objects::NEWER), "{line}");
        }
        place.run(&["delete", "istag/watched-tags:latest"]).done();
        for following in [&all, &one] {
            assert!(following.expect("DELETED").contains("watched-tags:latest"));
        }
    }
}

#[tokio::test]
async fn kubectl_waits_for_tags() {
    for place in places().await {
        pushed(&place, "awaited-tags");
        for resource in ["imagestreamtag", "imagetag"] {
            let tag = format!("{resource}/awaited-tags:latest");
            let (delete, timeout) = ("--for=delete", "--timeout=90s");
            let waiting = place.follow(&["wait", &tag, delete, timeout, "--v=6"]);
            waiting.expect_watch();
            place.run(&["delete", &tag, "--wait=false"]).done();
            let met = format!("{resource}.image.openshift.io/awaited-tags:latest condition met");
            waiting.expect(&met);
            // A tag that does not exist is deleted already.
            place.run(&["wait", &tag, delete, timeout]).done();
            let mapping = objects::mapping("awaited-tags", objects::DIGEST);
            place.give(&["create", objects::WITHOUT_VALIDATION], &mapping).done();
            place.run(&["wait", &tag, "--for=create", timeout]).done();
        }
    }
}

/// Watches over WebSocket as browsers do; kube-apiserver proxies the upgraded connection.
#[tokio::test]
async fn a_watch_over_websocket_goes_through_kube_apiserver() {
    let site = shared().await;
    site.plane.apply(&[objects::namespace(WORKSHOP)]);
    let admin = site.plane.admin();
    let streams = format!("{V1}/namespaces/{WORKSHOP}/imagestreams");
    let target =
        format!("{streams}?watch=true&fieldSelector=metadata.name%3Dseen&resourceVersion=0");
    let (answer, mut socket) = admin.websocket(&target, &[]).await;
    assert_eq!(answer.status(), 101);
    site.plane.ask(Request::new("POST", &streams).json(&objects::stream("seen"))).await.is(201);
    site.plane.delete(&format!("{streams}/seen")).await;
    for wanted in ["ADDED", "DELETED"] {
        let message = socket.next().await.expect("a message").expect("a sound one");
        let event: Value = serde_json::from_str(message.to_text().expect("text")).expect("JSON");
        assert_eq!(
            (&event["type"], &event["object"]["metadata"]["name"]),
            (&json!(wanted), &json!("seen"))
        );
    }
}
