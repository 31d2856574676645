//! The object quota of a namespace.

use futures_util::future::join_all;

use crate::fixtures::stream;
use crate::harness::{Api, Expect, STREAMS};

const FULL: &str = "imagestreams.image.openshift.io \"more\" is forbidden: namespace \"ns\" has 2 imagestreams and may have no \
                    more: delete some, or raise --max-objects-per-namespace of the server";

async fn limited() -> Api {
    Api::with(&["--max-objects-per-namespace=2"]).await
}

#[tokio::test]
async fn a_namespace_that_is_full_takes_no_more_and_says_what_to_do() {
    let mut api = limited().await;
    for name in ["a", "b"] {
        api.post(STREAMS, &stream(name)).await.is(201);
    }
    let refused = api.post(STREAMS, &stream("more")).await.fails(403, "Forbidden", FULL);
    assert_eq!(
        (&refused["details"]["name"], &refused["details"]["kind"]),
        (&"more".into(), &"imagestreams".into())
    );
    api.post("namespaces/other/imagestreams", &stream("more")).await.is(201);
    api.restart().await;
    api.post(STREAMS, &stream("more")).await.fails(403, "Forbidden", FULL);
    api.delete(&format!("{STREAMS}/a")).await.is(200);
    api.post(STREAMS, &stream("more")).await.is(201);
}

#[tokio::test]
async fn what_is_not_made_takes_no_place() {
    // Dry runs and failed creates do not count against the quota.
    let api = limited().await;
    api.post(STREAMS, &stream("a")).await.is(201);
    for _ in 0..3 {
        api.post(&format!("{STREAMS}?dryRun=All"), &stream("dry")).await.is(201);
        api.post(STREAMS, &stream("a")).await.is(409);
        api.post(STREAMS, &stream("Not/A/Name")).await.is(422);
    }
    api.post(STREAMS, &stream("b")).await.is(201);
    api.post(&format!("{STREAMS}?dryRun=All"), &stream("more")).await.fails(403, "Forbidden", FULL);
}

#[tokio::test]
async fn the_limit_holds_for_those_who_come_at_once() {
    // The quota holds for concurrent creates.
    let api = limited().await;
    let names: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    let bodies: Vec<_> = names.iter().map(|name| stream(name)).collect();
    let answers = join_all(bodies.iter().map(|body| api.post(STREAMS, body))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().filter(|answer| answer.status == 403).count();
    assert_eq!((made, refused), (2, 18));
}

#[tokio::test]
async fn without_a_limit_there_is_none() {
    let api = Api::with(&["--max-objects-per-namespace=0"]).await;
    for name in ["a", "b", "c"] {
        api.post(STREAMS, &stream(name)).await.is(201);
    }
}
