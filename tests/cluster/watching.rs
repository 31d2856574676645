//! What kubectl sees happen, alone and through kube-apiserver.

use super::objects;
use super::places::places;

#[tokio::test]
async fn kubectl_tells_what_happens_while_it_happens() {
    for place in places().await {
        place.give(&["create"], &objects::stream("watched")).done();
        let all = ["get", "imagestream/watched", "--watch", "--output-watch-events", "--no-headers"];
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
        let only = ["--watch-only", "--output-watch-events", "--no-headers", "--selector=watched=only", "--v=6"];
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
        // To wait for the end of what is gone already is nothing to tell of.
        let waiting = place.follow(&["wait", "imagestream/awaited", "--for=delete", "--timeout=90s", "--v=6"]);
        waiting.expect_watch();
        place.run(&["delete", "imagestream/awaited", "--wait=false"]).done();
        waiting.expect("imagestream.image.openshift.io/awaited condition met");
    }
}
