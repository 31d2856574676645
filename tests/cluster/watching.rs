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
        let mut only = vec!["get", "imagestreams", "--watch-only", "--output-watch-events", "--no-headers"];
        only.push("--selector=watched=only");
        let following = place.follow(&only);
        // It lists first, and tells nothing of that, so that only repeating shows when it watches.
        let told = (0..).find_map(|number: u32| {
            place.run(&["label", "imagestream/before", "watched=only", &format!("n={number}"), "--overwrite"]).done();
            following.soon()
        });
        assert!(told.is_some_and(|line| line.starts_with("ADDED") || line.starts_with("MODIFIED")));
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
        let waiting = place.follow(&["wait", "imagestream/awaited", "--for=delete", "--timeout=90s"]);
        place.run(&["delete", "imagestream/awaited", "--wait=false"]).done();
        waiting.expect("imagestream.image.openshift.io/awaited condition met");
    }
}
