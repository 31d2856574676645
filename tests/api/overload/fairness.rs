//! One user who takes whatever the server gives, beside others.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::{executing, send, waiting, write};
use crate::fixtures::{digest, image};
use crate::harness::{Api, Expect, TestServer, eventually, request};
use crate::support::client::{Client, Identity, Request};
use crate::tenants::{MALLORY, Tenants, VICTOR};

/// The maximum response time of other users.
const PROMPT: Duration = Duration::from_secs(5);
/// The number of connections of a greedy user.
const CONNECTIONS: usize = 5;
/// The number of requests on each of them.
const STREAMS: usize = 90;
/// The places of one user among the 400 of reads: a quarter of three quarters.
const READS_OF_A_USER: usize = 75;

fn of_users(limit: &str) -> String {
    format!("priority_level=\"users\",limit=\"{limit}\"")
}

async fn is_prompt(client: &Client, request: Request, status: u16) {
    let start = Instant::now();
    let line = format!("{} {}", request.method, request.target);
    let answer = send(client, request).await;
    assert_eq!(answer.status, status, "{line}: {}", String::from_utf8_lossy(&answer.body));
    assert!(start.elapsed() < PROMPT, "{line}: {:?}", start.elapsed());
}

#[tokio::test]
async fn unfinished_posts_take_no_place() {
    let api = Api::start().await;
    let alice = api.server.alice();
    let posts = (0..210).map(|number| alice.begin(write(&format!("slow-{number}"))));
    let mut posts: Vec<_> =
        join_all(posts).await.into_iter().map(|begun| begun.expect("h1 works")).collect();
    for (client, name) in [(&api.server.bob(), "of-bob"), (&alice, "of-alice")] {
        is_prompt(client, write(name), 201).await;
    }
    assert_eq!(executing(&api.server, &of_users("writes")).await, 0);
    let late = posts.swap_remove(0).answer().await.expect("a response");
    late.fails(
        408,
        "Timeout",
        "the body of the request arrives too slowly: after 10 s, 1024 bytes per second must have arrived on average; \
         send it again",
    );
}

#[tokio::test]
async fn unread_responses_take_places_of_their_user_only() {
    let api = Api::start().await;
    let alice = api.server.alice();
    let mut unread = Vec::new();
    for _ in 0..CONNECTIONS {
        let reads = vec![request("GET", "images"); STREAMS];
        unread.push(alice.send_unread(reads).await.expect("h2 works"));
    }
    let reads = of_users("reads");
    let rest = CONNECTIONS * STREAMS - READS_OF_A_USER;
    eventually("all other requests wait", || async { waiting(&api.server, &reads).await == rest })
        .await;
    assert_eq!(executing(&api.server, &reads).await, READS_OF_A_USER);
    for client in [api.server.bob(), api.server.controller(), api.server.admin()] {
        for _ in 0..5 {
            is_prompt(&client, request("GET", "images"), 200).await;
        }
    }
    drop(unread);
    eventually("all places are free", || async { executing(&api.server, &reads).await == 0 }).await;
    is_prompt(&alice, request("GET", "images"), 200).await;
}

#[tokio::test]
async fn watches_of_one_user_leave_places_to_others() {
    // Three places for each user, and four for each component of the cluster.
    let api = Api::with(&["--max-watches=16"]).await;
    let mut open = Vec::new();
    for (client, places) in
        [(api.server.alice(), 3), (api.server.bob(), 3), (api.server.controller(), 4)]
    {
        for _ in 0..places {
            open.push(client.watch(request("GET", "images?watch=true")).await);
        }
        let refused = send(&client, request("GET", "images?watch=true")).await;
        assert_eq!(refused.header("retry-after"), Some("1"));
        refused.is(429);
    }
    assert_eq!(executing(&api.server, &of_users("watches")).await, 6);
    let admin = api.server.admin();
    for _ in 0..10 {
        open.push(admin.watch(request("GET", "images?watch=true")).await);
    }
}

#[tokio::test]
async fn shares_multiply_the_places_of_a_user() {
    let api = Api::with(&["--max-watches=16", "--user-shares=alice=2"]).await;
    let alice = api.server.alice();
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(alice.watch(request("GET", "images?watch=true")).await);
    }
    send(&alice, request("GET", "images?watch=true")).await.is(429);
}

#[tokio::test]
async fn impersonated_requests_count_for_the_impersonated_user() {
    let api = Api::with(&["--max-watches=16"]).await;
    let watch = || request("GET", "images?watch=true").header("impersonate-user", "alice");
    let admin = api.server.admin();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(admin.watch(watch()).await);
    }
    send(&admin, watch()).await.is(429);
    send(&api.server.alice(), request("GET", "images?watch=true")).await.is(429);
}

#[tokio::test]
async fn clients_without_credentials_share_a_small_part() {
    // One place for all of them.
    let api = Api::with(&["--max-requests-inflight=16", "--request-timeout=8s"]).await;
    let stranger = api.server.client(Identity::default());
    let mut unread = stranger.send_unread(vec![request("GET", "images")]).await.expect("h2 works");
    assert_eq!(unread.next_status().await.expect("a response"), 401);
    let strangers = "priority_level=\"unauthenticated\",limit=\"reads\"";
    assert_eq!(executing(&api.server, strangers).await, 1);
    let refused = send(&stranger, request("GET", "images")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    for path in ["/livez", "/readyz"] {
        is_prompt(&stranger, Request::new("GET", path), 200).await;
    }
    is_prompt(&api.server.alice(), request("GET", "images"), 200).await;
    drop(unread);
    is_prompt(&stranger, request("GET", "images"), 401).await;
}

#[tokio::test]
async fn reviews_of_one_user_do_not_delay_those_of_others() {
    let tenants = Tenants::start().await;
    let mut flood = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let held = |number: usize| {
            let name = format!("imagestreams/held-{connection}-{number}");
            request("GET", &MALLORY.path(&name))
        };
        let (mallory, reads) = (tenants.client(MALLORY), (0..STREAMS).map(held).collect());
        flood.spawn(async move { mallory.send_together(reads).await });
    }
    let reviews = of_users("reviews");
    let pending = || async {
        let server = &tenants.server;
        executing(server, &reviews).await + waiting(server, &reviews).await
    };
    eventually("all reviews are pending", || async { pending().await == CONNECTIONS * STREAMS })
        .await;
    let victor = tenants.client(VICTOR);
    for number in 0..20 {
        let name = format!("imagestreams/new-{number}");
        is_prompt(&victor, request("GET", &VICTOR.path(&name)), 404).await;
    }
    tenants.push(VICTOR, "s", "t", &image(&digest("abc"))).await.is(201);
    tenants.release_reviews();
    while let Some(answers) = flood.join_next().await {
        let answers = answers.expect("no panic").expect("every request gets a response");
        assert!(answers.iter().all(|answer| answer.status == 404));
    }
}
