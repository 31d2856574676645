//! Lists of any stored kind: selection of objects and of the resourceVersion. Tests of pages use
//! images.

mod pages;
mod streamed;
mod tags;

use serde_json::{Value, json};

use crate::fixtures::{image, names};
use crate::harness::{Api, Expect, STREAMS, request};

/// Starts a server with the images a, b and c. The images a and b have the label `app`.
async fn with_labels() -> Api {
    let api = Api::start().await;
    for (name, labels) in
        [("a", json!({"app": "x"})), ("b", json!({"app": "y"})), ("c", json!({"other": "x"}))]
    {
        let mut labelled = image(name);
        labelled["metadata"]["labels"] = labels;
        api.post("images", &labelled).await.is(201);
    }
    api
}

fn version(list: &Value) -> u64 {
    list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .parse()
        .expect("a version is a number here")
}

#[tokio::test]
async fn labels_and_names_select() {
    let api = with_labels().await;
    let cases = [
        ("labelSelector=app", vec!["a", "b"]),
        ("labelSelector=app%3Dx", vec!["a"]),
        ("labelSelector=app%21%3Dx", vec!["b", "c"]),
        ("labelSelector=%21app", vec!["c"]),
        ("labelSelector=app%20in%20(x,y)", vec!["a", "b"]),
        ("labelSelector=app,other", vec![]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
        ("fieldSelector=metadata.name%3Db&labelSelector=other", vec![]),
    ];
    for (query, wanted) in cases {
        assert_eq!(names(&api.get(&format!("images?{query}")).await.is(200)), wanted, "{query}");
    }
    api.get("images?labelSelector=a%20b").await.is(400);
    api.get("images?fieldSelector=foo%3Dbar").await.is(400);
}

#[tokio::test]
async fn pages_of_what_was_selected_leave_nothing_out() {
    let api = with_labels().await;
    let first = api.get("images?labelSelector=app&limit=1").await.is(200);
    let mut seen = vec![names(&first).concat()];
    let mut page = first.clone();
    while let Some(token) = page["metadata"]["continue"].as_str() {
        page = api.get(&format!("images?labelSelector=app&limit=1&continue={token}")).await.is(200);
        seen.push(names(&page).concat());
    }
    assert_eq!(seen.concat(), "ab");
}

#[tokio::test]
async fn a_list_of_an_old_version_shows_what_was_there() {
    let api = with_labels().await;
    let old = api.get("images").await.is(200);
    api.delete("images/a").await.is(200);
    let again = api
        .get(&format!("images?resourceVersion={}&resourceVersionMatch=Exact", version(&old)))
        .await
        .is(200);
    assert_eq!(again, old);
    let newer = api.get(&format!("images?resourceVersion={}", version(&old))).await.is(200);
    assert_eq!(names(&newer), ["b", "c"]);
}

#[tokio::test]
async fn a_list_is_never_older_than_wanted() {
    // A future resourceVersion fails with 504, a compacted one with 410.
    let api = with_labels().await;
    let now = version(&api.get("images").await.is(200));
    let future = api.get(&format!("images?resourceVersion={}", now + 1_000_000)).await;
    assert_eq!(future.is(504)["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(future.header("retry-after"), Some("1"));
    let gone = api.get("images?resourceVersion=1&resourceVersionMatch=Exact").await;
    gone.fails(410, "Expired", "The resourceVersion for the provided list is too old.");
}

#[tokio::test]
async fn options_that_do_not_go_together_are_refused() {
    let api = with_labels().await;
    for query in [
        "resourceVersionMatch=Exact",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersion=1&resourceVersionMatch=Bogus",
    ] {
        assert_eq!(
            api.get(&format!("images?{query}")).await.is(422)["reason"],
            "Invalid",
            "{query}"
        );
    }
    for query in ["limit=many", "resourceVersion=many"] {
        assert_eq!(
            api.get(&format!("images?{query}")).await.is(400)["reason"],
            "BadRequest",
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_list_reads_its_numbers_first_and_knows_no_export() {
    // Numeric options are parsed before selectors, and `export` is ignored.
    let api = Api::start().await;
    let told = api.get(&format!("{STREAMS}?labelSelector=a%20b&limit=")).await.is(400);
    assert_eq!(told["message"], "strconv.ParseInt: parsing \"\": invalid syntax");
    api.get(&format!("{STREAMS}?export=true")).await.is(200);
    let other = api.ask(request("GET", STREAMS).header("accept", "text/html")).await.is(406);
    assert!(
        other["message"].as_str().unwrap_or_default().ends_with("protobuf;stream=watch"),
        "{other}"
    );
}
