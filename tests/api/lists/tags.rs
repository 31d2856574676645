//! Lists of tags: sorted by full name, with pages that skip no tag.

use serde_json::{Value, json};

use crate::fixtures::{image, mapping, names, stream};
use crate::harness::{Api, Expect};

/// Stream names in byte order. Several are prefixes of others.
const STREAMS: [&str; 9] = ["a", "a-b", "a-b-c", "a.b", "a1", "a1-x", "a_b", "ab", "b"];
const TAGS: [&str; 3] = ["latest", "1.0", "v-2"];

async fn with_tags() -> Api {
    let api = Api::start().await;
    for (namespace, tags) in [("ns", &TAGS[..]), ("ns-2", &TAGS[..1])] {
        for name in STREAMS {
            let mut each = stream(name);
            each["metadata"]["namespace"] = namespace.into();
            each["metadata"]["labels"] = json!({"long": (name.len() > 2).to_string()});
            api.post(&format!("namespaces/{namespace}/imagestreams"), &each).await.is(201);
            for tag in tags {
                let mut push = mapping(name, tag, &image("i"));
                push["metadata"]["namespace"] = namespace.into();
                api.post(&format!("namespaces/{namespace}/imagestreammappings"), &push)
                    .await
                    .is(201);
            }
        }
    }
    api.post("namespaces/ns/imagestreams", &stream("a-empty")).await.is(201);
    api
}

/// Every tag as `namespace/stream:tag`.
fn whole_names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("a list has items");
    let name = |item: &Value| {
        let text = |field: &str| item["metadata"][field].as_str().unwrap_or_default().to_owned();
        format!("{}/{}", text("namespace"), text("name"))
    };
    items.iter().map(name).collect()
}

fn expected(namespace: &str, tags: &[&str]) -> Vec<String> {
    let of = |stream: &&str| {
        tags.iter().map(|tag| format!("{namespace}/{stream}:{tag}")).collect::<Vec<_>>()
    };
    let mut expected: Vec<_> = STREAMS.iter().flat_map(of).collect();
    expected.sort();
    expected
}

/// Reads a list in pages of `limit` tags.
async fn in_pages(api: &Api, path: &str, limit: usize) -> Vec<String> {
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("{path}limit={limit}&continue={token}")).await.is(200);
        let names = whole_names(&page);
        assert!(names.len() <= limit, "{names:?}");
        seen.extend(names);
        token = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return seen;
        }
    }
}

#[tokio::test]
async fn tags_come_in_the_order_of_their_whole_names() {
    let api = with_tags().await;
    for resource in ["imagestreamtags", "imagetags"] {
        let list = api.get(&format!("namespaces/ns/{resource}")).await.is(200);
        assert_eq!(whole_names(&list), expected("ns", &TAGS), "{resource}");
        assert_eq!(list["metadata"], json!({}));
    }
    let everywhere = [expected("ns-2", &TAGS[..1]), expected("ns", &TAGS)].concat();
    assert_eq!(
        whole_names(&api.get("imagestreamtags").await.is(200)),
        everywhere,
        "namespaces are sorted as in lists of streams"
    );
}

#[tokio::test]
async fn pages_of_every_size_leave_no_tag_out_and_show_none_twice() {
    let api = with_tags().await;
    let everywhere = [expected("ns-2", &TAGS[..1]), expected("ns", &TAGS)].concat();
    for limit in [1, 2, 3, 5, 7, 26, 27, 100] {
        assert_eq!(
            in_pages(&api, "namespaces/ns/imagestreamtags?", limit).await,
            expected("ns", &TAGS),
            "{limit}"
        );
        assert_eq!(in_pages(&api, "imagetags?", limit).await, everywhere, "{limit}");
    }
    let long: Vec<_> = expected("ns", &TAGS)
        .into_iter()
        .filter(|name| {
            name.contains("a-b")
                || name.contains("a.b")
                || name.contains("a1-")
                || name.contains("a_b")
        })
        .collect();
    assert_eq!(
        in_pages(&api, "namespaces/ns/imagestreamtags?labelSelector=long%3Dtrue&", 2).await,
        long
    );
}

#[tokio::test]
async fn pages_of_tags_show_one_moment() {
    let api = with_tags().await;
    let path = "namespaces/ns/imagestreamtags";
    let first = api.get(&format!("{path}?limit=8")).await.is(200);
    let token = first["metadata"]["continue"].as_str().expect("the list has a next page");
    for name in ["a", "a1", "b"] {
        api.delete(&format!("namespaces/ns/imagestreams/{name}")).await.is(200);
    }
    let rest = api.get(&format!("{path}?continue={token}")).await.is(200);
    assert_eq!([whole_names(&first), whole_names(&rest)].concat(), expected("ns", &TAGS));
    assert!(names(&api.get(path).await.is(200)).iter().all(|name| !name.starts_with("b:")));
}
