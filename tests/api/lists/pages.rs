//! Pages of lists: all pages show one revision, whatever is written between them, until compaction
//! removes it.

use serde_json::{Value, json};

use super::version;
use crate::fixtures::{image, names};
use crate::harness::{Api, ApiOf, EMBEDDED, Expect, TestServer, eventually};

/// Starts a server with the images i00, i01 and so on, of `bytes` bytes each. Those with an even
/// number have the label `even`.
pub(super) async fn with_images<S: TestServer>(
    flags: &[&str],
    count: usize,
    bytes: usize,
) -> ApiOf<S> {
    let api = ApiOf::with(flags).await;
    for number in 0..count {
        let mut each = image(&format!("i{number:02}"));
        each["metadata"]["annotations"] = json!({"text": "x".repeat(bytes)});
        if number % 2 == 0 {
            each["metadata"]["labels"] = json!({"even": "yes"});
        }
        api.post("images", &each).await.is(201);
    }
    api
}

fn token(page: &Value) -> &str {
    page["metadata"]["continue"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn pages_show_one_moment_whatever_is_written_between_them() {
    let api: Api = with_images(&[], 6, 1).await;
    let whole = api.get("images").await.is(200);
    let first = api.get("images?limit=2").await.is(200);
    api.delete("images/i02").await.is(200);
    api.delete("images/i05").await.is(200);
    api.post("images", &image("i03x")).await.is(201);
    let second = api.get(&format!("images?limit=2&continue={}", token(&first))).await.is(200);
    let third = api.get(&format!("images?continue={}", token(&second))).await.is(200);
    for (page, remaining) in [(&first, json!(4)), (&second, json!(2)), (&third, Value::Null)] {
        assert_eq!(
            (version(page), &page["metadata"]["remainingItemCount"]),
            (version(&whole), &remaining)
        );
    }
    let pages =
        [first, second, third].map(|page| page["items"].as_array().cloned().unwrap_or_default());
    assert_eq!(json!(pages.concat()), whole["items"]);
}

#[tokio::test]
async fn a_large_page_says_how_it_ends_before_it_is_read() {
    // The continue token and the remaining count precede the items of a streamed page.
    let api: Api = with_images(&[], 30, 20_000).await;
    let page = api.get("images?limit=20").await;
    assert_eq!(page.header("transfer-encoding"), Some("chunked"));
    let page = page.is(200);
    assert_eq!((names(&page).len(), &page["metadata"]["remainingItemCount"]), (20, &json!(10)));
    let rest = api.get(&format!("images?limit=20&continue={}", token(&page))).await.is(200);
    assert_eq!((names(&rest)[0], names(&rest).len(), token(&rest)), ("i20", 10, ""));

    let page = api.get("images?limit=9&labelSelector=even").await.is(200);
    assert_eq!((names(&page).len(), &page["metadata"]["remainingItemCount"]), (9, &Value::Null));
    let rest = api
        .get(&format!("images?limit=9&labelSelector=even&continue={}", token(&page)))
        .await
        .is(200);
    assert_eq!((names(&rest), token(&rest)), (vec!["i18", "i20", "i22", "i24", "i26", "i28"], ""));
}

#[tokio::test]
async fn compacted_page_is_410_with_a_fresh_token() {
    let api: Api = with_images(
        &[EMBEDDED, "--compaction-interval=100ms", "--compaction-retention=100ms"],
        4,
        1,
    )
    .await;
    let first = api.get("images?limit=2").await.is(200);
    let next = format!("images?limit=1&continue={}", token(&first));
    eventually("the revision is compacted", || async {
        api.post("images", &image("new")).await.is(201);
        api.delete("images/new").await.is(200);
        api.get(&next).await.status == 410
    })
    .await;
    api.delete("images/i02").await.is(200);
    api.post("images", &image("i02x")).await.is(201);
    let gone = api.get(&next).await.is(410);
    assert_eq!(gone["reason"], "Expired");
    let message = gone["message"].as_str().unwrap_or_default();
    let start = "The provided continue parameter is too old to display a consistent list result";
    assert!(message.starts_with(start), "{message}");
    let rest = api.get(&format!("images?limit=1&continue={}", token(&gone))).await.is(200);
    assert_eq!((names(&rest), &rest["metadata"]["remainingItemCount"]), (vec!["i02x"], &json!(1)));
    assert!(version(&rest) > version(&first));
    let last = api.get(&format!("images?continue={}", token(&rest))).await;
    assert!([200, 410].contains(&last.status), "its revision may be compacted too");
}

#[tokio::test]
async fn pages_of_a_version_are_of_that_version() {
    let api: Api = with_images(&[], 3, 1).await;
    let old = version(&api.get("images").await.is(200));
    api.delete("images/i00").await.is(200);
    let page = api.get(&format!("images?limit=2&resourceVersion={old}")).await.is(200);
    assert_eq!((names(&page), version(&page)), (vec!["i00", "i01"], old));
    let all = api.get("images?limit=1&resourceVersion=0").await.is(200);
    assert_eq!(names(&all), ["i01", "i02"], "a list at any version ignores the limit");
}
