//! Profiles of a running server.

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;

use crate::harness::{Api, Expect, ProcessApi, STREAMS, TestServer};
use crate::support::client::{Identity, Request};
use crate::support::process::{Launch, ServerProcess};

fn cpu(seconds: u64) -> Request {
    Request::new("GET", &format!("/debug/pprof/profile?seconds={seconds}"))
}

/// The decompressed content of a profile.
fn content(profile: &[u8]) -> String {
    let mut content = Vec::new();
    GzDecoder::new(profile).read_to_end(&mut content).expect("the profile is compressed");
    String::from_utf8_lossy(&content).into_owned()
}

#[tokio::test]
async fn cpu_profile_names_functions_of_the_server() {
    let api = ProcessApi::with(&["--profiling"]).await;
    let mut profiling = std::pin::pin!(api.ask(cpu(2)));
    let mut refused = 0;
    // There is work until the profile is complete, because idle threads are not sampled.
    let profile = loop {
        let work = async {
            api.get(STREAMS).await.is(200);
            api.ask(cpu(1)).await.status
        };
        tokio::select! {
            biased;
            profile = &mut profiling => break profile,
            status = work => refused += u32::from(status == 429),
        }
    };
    assert_eq!(profile.status, 200);
    assert!(refused > 0, "one profile is made at a time");
    let content = content(&profile.body);
    assert!(content.contains("imagestream_apiserver::"), "no function of the server in a profile");
    assert!(!content.contains("perf_signal_handler"), "the profiler is no part of the profile");
    let log = api.server.log().join("\n");
    assert!(!log.contains("slow request"), "a profile takes the time that it names: {log}");
}

#[tokio::test]
async fn profiles_need_the_flag_a_user_and_a_duration() {
    let api = Api::start().await;
    assert_eq!(api.ask(cpu(1)).await.status, 404);
    let api = Api::with(&["--profiling", "--request-timeout=20s"]).await;
    let stranger = api.server.client(Identity::default());
    assert_eq!(stranger.send(cpu(1)).await.expect("a response").status, 401);
    for (seconds, code) in [(0, 400), (11, 400)] {
        assert_eq!(api.ask(cpu(seconds)).await.status, code, "{seconds}");
    }
    let target = "/debug/pprof/profile?seconds=1";
    assert_eq!(api.ask(Request::new("POST", target)).await.status, 405);
}

#[tokio::test]
async fn heap_profile_says_how_to_get_one() {
    let api = ProcessApi::with(&["--profiling"]).await;
    let answer = api.ask(Request::new("GET", "/debug/pprof/heap")).await.is(503);
    let remedy = match cfg!(feature = "heap-profiling") {
        true => "_RJEM_MALLOC_CONF=prof:true",
        false => "--features heap-profiling",
    };
    assert!(answer["message"].as_str().is_some_and(|text| text.contains(remedy)), "{answer}");
}

#[cfg_attr(not(feature = "heap-profiling"), ignore = "needs --features heap-profiling")]
#[tokio::test]
async fn heap_profile_names_functions_that_allocate() {
    // A sample of each 64 KiB.
    let variables = &[("_RJEM_MALLOC_CONF", "prof:true,lg_prof_sample:16")];
    let server =
        ServerProcess::launch(Launch { flags: &["--profiling"], variables, ..Launch::default() });
    let server = server.await;
    let api = ProcessApi { client: server.admin(), server };
    let asking = api.ask(Request::new("GET", "/debug/pprof/heap"));
    let profile = tokio::time::timeout(Duration::from_secs(60), asking).await.expect("in time");
    assert_eq!(profile.status, 200);
    assert!(content(&profile.body).contains("imagestream_apiserver::"), "no function");
}
