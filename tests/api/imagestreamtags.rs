//! `imagestreamtags` and `imagetags`: two views of a tag of a stream, which also write it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::fixtures::{digest, image, mapping, names, stream};
use crate::harness::{Api, Expect, MAPPINGS, STREAMS};

const TAGS: &str = "namespaces/ns/imagestreamtags";
const IMAGE_TAGS: &str = "namespaces/ns/imagetags";

fn reference(name: &str) -> Value {
    json!({"from": {"kind": "DockerImage", "name": name}, "reference": true})
}

fn tag(name: &str, wanted: &Value) -> Value {
    json!({"kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", "metadata": {"name": name}, "tag": wanted})
}

async fn history(api: &Api, stream: &str) -> Vec<(String, String)> {
    let stream = api.get(&format!("{STREAMS}/{stream}")).await.is(200);
    let tags = stream["status"]["tags"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let newest = |tag: &Value| {
        let event = &tag["items"][0];
        let image = text(&event["image"]);
        (
            text(&tag["tag"]),
            if image.is_empty() { text(&event["dockerImageReference"]) } else { image },
        )
    };
    tags.iter().map(newest).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(tag, is)| ((*tag).to_owned(), (*is).to_owned())).collect()
}

#[tokio::test]
async fn a_new_tag_makes_its_stream_and_a_second_one_is_refused() {
    let api = Api::start().await;
    let made = api.post(TAGS, &tag("s:a", &reference("r.io/a:1"))).await.is(201);
    assert_eq!((&made["tag"]["name"], &made["tag"]["generation"]), (&json!("a"), &json!(1)));
    assert_eq!(history(&api, "s").await, pairs(&[("a", "r.io/a:1")]));
    let message = "imagestreamtag.image.openshift.io \"s:a\" already exists";
    api.post(TAGS, &tag("s:a", &reference("r.io/a:2"))).await.fails(409, "AlreadyExists", message);
}

#[tokio::test]
async fn a_field_selector_selects_a_tag_by_its_name() {
    let api = Api::start().await;
    for (name, tag) in [("s", "a"), ("s", "b"), ("s-1", "a")] {
        api.post(STREAMS, &stream(name)).await;
        api.post(MAPPINGS, &mapping(name, tag, &image("i"))).await.is(201);
    }
    for path in [TAGS, IMAGE_TAGS] {
        let everywhere = path.trim_start_matches("namespaces/ns/");
        for (query, expected) in [
            ("fieldSelector=metadata.name%3Ds:a", &["s:a"][..]),
            ("fieldSelector=metadata.name%3Ds:a&limit=1", &["s:a"]),
            ("fieldSelector=metadata.name!%3Ds:a", &["s-1:a", "s:b"]),
            ("fieldSelector=metadata.name%3Ds:c", &[]),
            ("fieldSelector=metadata.name%3Ds", &[]),
            ("fieldSelector=metadata.name%3D", &[]),
            ("fieldSelector=metadata.name%3Ds:a,metadata.name%3Ds:b", &[]),
            ("fieldSelector=metadata.name%3Ds:a,metadata.namespace%3Dother", &[]),
            ("fieldSelector=metadata.name%3Ds:a&labelSelector=x", &[]),
        ] {
            for path in [path, everywhere] {
                let list = api.get(&format!("{path}?{query}")).await.is(200);
                assert_eq!(names(&list), expected, "{path}?{query}");
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_is_no_name_of_a_tag_is_a_fault_of_the_request() {
    let api = Api::start().await;
    let message = "\"bad\" must be of the form <stream_name>:<tag>";
    api.post(TAGS, &tag("bad", &Value::Null)).await.fails(400, "BadRequest", message);
    let message = "ImageStreamTags must be retrieved with <name>:<tag>";
    api.get(&format!("{TAGS}/bad")).await.fails(400, "BadRequest", message);
}

#[tokio::test]
async fn a_name_that_says_what_an_object_belongs_to_is_not_made_up() {
    // `generateName` is rejected where the name refers to another object.
    let api = Api::with_stream().await;
    let message =
        "metadata.name was not generated: it says what the object belongs to, so it must be given";
    for path in [TAGS, IMAGE_TAGS, MAPPINGS, "imagesignatures"] {
        api.post(path, &json!({"metadata": {"generateName": "s:t"}})).await.fails(
            400,
            "BadRequest",
            message,
        );
    }
}

#[tokio::test]
async fn a_version_in_a_new_view_is_passed_over() {
    // A create ignores the resourceVersion of views, and rejects it for stored kinds.
    let api = Api::with_stream().await;
    let versioned = |mut object: Value| {
        object["metadata"]["resourceVersion"] = "7".into();
        object
    };
    let spec = json!({"metadata": {"name": "s:b"}, "spec": reference("r.io/a:1")});
    let signature = json!({"metadata": {"name": "i@a"}, "type": "t", "content": "eA=="});
    api.post(TAGS, &versioned(tag("s:a", &reference("r.io/a:1")))).await.is(201);
    api.post(IMAGE_TAGS, &versioned(spec)).await.is(201);
    api.post(MAPPINGS, &versioned(mapping("s", "c", &image("i")))).await.is(201);
    api.post("imagesignatures", &versioned(signature)).await.is(201);
    let message = "resourceVersion should not be set on objects to be created";
    api.post(STREAMS, &versioned(stream("other"))).await.fails(400, "BadRequest", message);
}

#[tokio::test]
async fn put_of_tag_without_stream_follows_create_rules() {
    let api = Api::start().await;
    let labelled = |mut object: Value| {
        object["metadata"]["labels"] = json!({"l": "1"});
        object
    };
    api.put(&format!("{TAGS}/a:t"), &labelled(tag("a:t", &reference("r.io/a:1")))).await.is(201);
    assert_eq!(api.get(&format!("{STREAMS}/a")).await.is(200)["metadata"].get("labels"), None);
    let mut annotated = tag("b:t", &reference("r.io/a:1"));
    annotated["tag"]["annotations"] = json!({"k": "v"});
    let rule =
        "tag annotations must not be provided or must be equal to the object meta annotations";
    let message = format!(
        "ImageStreamTag.image.openshift.io \"b:t\" is invalid: tag.annotations: Invalid value: \"<map>\": {rule}"
    );
    api.put(&format!("{TAGS}/b:t"), &annotated).await.fails(422, "Invalid", &message);
    let spec = json!({"metadata": {"name": "c:t"}, "spec": reference("r.io/a:1")});
    let made = api.put(&format!("{IMAGE_TAGS}/c:t"), &labelled(spec)).await.is(201);
    assert_eq!(made["spec"]["name"], "t");
    let message = "ImageTag.image.openshift.io \"d:t\" is invalid: spec: Required value: spec is a required field during \
                   creation";
    let nothing = json!({"metadata": {"name": "d:t"}});
    api.put(&format!("{IMAGE_TAGS}/d:t"), &nothing).await.fails(422, "Invalid", message);
    for missing in ["b", "d"] {
        api.get(&format!("{STREAMS}/{missing}")).await.is(404);
    }
}

#[tokio::test]
async fn tag_update_validates_metadata_as_any_object() {
    let api = Api::start().await;
    api.post(TAGS, &tag("s:a", &reference("r.io/a:1"))).await.is(201);
    let fields = async |metadata: Value| {
        let mut changed = tag("s:a", &reference("r.io/a:1"));
        changed["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        let refused = api.put(&format!("{TAGS}/s:a"), &changed).await.is(422);
        let causes = refused["details"]["causes"].as_array().unwrap().clone();
        causes
            .into_iter()
            .map(|cause| cause["field"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(fields(json!({"finalizers": ["x"]})).await, ["metadata.finalizers[0]", "metadata"]);
    assert_eq!(fields(json!({"uid": "x"})).await, ["metadata.uid", "metadata.uid", "metadata"]);
    assert_eq!(fields(json!({"annotations": {"a b": ""}})).await, ["metadata.annotations"; 3]);
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let api = Api::with_stream().await;
    for path in [format!("{TAGS}/s:a?dryRun=All"), format!("{TAGS}/other:a?dryRun=All")] {
        let name = path.split(['/', '?']).nth(3).unwrap();
        api.put(&path, &tag(name, &reference("r.io/a:1"))).await.is(201);
    }
    assert_eq!(history(&api, "s").await, pairs(&[]));
    api.get(&format!("{STREAMS}/other")).await.is(404);
    api.push("p", &image(&digest("1"))).await;
    api.delete(&format!("{TAGS}/s:p?dryRun=All")).await.is(200);
    api.get(&format!("{TAGS}/s:p")).await.is(200);
}

#[tokio::test]
async fn tags_follow_their_source_tag_in_the_stream() {
    let api = Api::start().await;
    api.post(TAGS, &tag("s:base", &reference("r.io/a:1"))).await.is(201);
    let follows = json!({"from": {"kind": "ImageStreamTag", "name": "base"}});
    api.post(TAGS, &tag("s:t", &follows)).await.is(201);
    api.put(&format!("{TAGS}/s:base"), &tag("s:base", &reference("r.io/a:2"))).await.is(200);
    assert_eq!(history(&api, "s").await, pairs(&[("base", "r.io/a:2"), ("t", "r.io/a:2")]));
    api.post(MAPPINGS, &mapping("s", "base", &image(&digest("1")))).await.is(201);
    let one = digest("1");
    assert_eq!(history(&api, "s").await, pairs(&[("base", &one), ("t", &one)]));
}

#[tokio::test]
async fn an_update_that_builds_on_another_version_is_refused() {
    let api = Api::start().await;
    let made = api.post(TAGS, &tag("s:a", &reference("r.io/a:1"))).await.is(201);
    let mut next = tag("s:a", &reference("r.io/a:2"));
    next["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    let now = api.put(&format!("{TAGS}/s:a"), &next).await.is(200);
    let now = now["metadata"]["resourceVersion"].as_str().unwrap();
    let why = format!("another caller has updated the resource version to {now}");
    let message = format!(
        "Operation cannot be fulfilled on imagestreamtags.image.openshift.io \"s:a\": {why}"
    );
    api.put(&format!("{TAGS}/s:a"), &next).await.fails(409, "Conflict", &message);
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let api = Api::start().await;
    let made = api.post(TAGS, &tag("s:a", &reference("r.io/a:1"))).await.is(201);
    let again = api.put(&format!("{TAGS}/s:a"), &tag("s:a", &reference("r.io/a:1"))).await.is(200);
    assert_eq!(again["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn edits_of_many_tags_at_once_all_succeed_at_the_first_try() {
    let api = Api::with_stream().await;
    let edits = (0..64).map(|number| {
        let (api, name) = (&api, format!("s:t{number:02}"));
        async move {
            match number % 3 {
                0 => api.post(TAGS, &tag(&name, &reference("r.io/a:1"))).await.is(201),
                1 => api
                    .put(&format!("{TAGS}/{name}"), &tag(&name, &reference("r.io/a:1")))
                    .await
                    .is(201),
                _ => {
                    let pushed = mapping("s", &name[2..], &image(&digest("1")));
                    api.post(MAPPINGS, &pushed).await.is(201)
                }
            }
        }
    });
    join_all(edits).await;
    assert_eq!(history(&api, "s").await.len(), 64);
}

#[tokio::test]
async fn a_tag_shows_its_image_and_both_views_list_it() {
    let api = Api::with_stream().await;
    api.push("p", &image(&digest("1"))).await;
    api.put(&format!("{TAGS}/s:r"), &tag("s:r", &reference("r.io/a:1"))).await.is(201);
    let view = api.get(&format!("{TAGS}/s:p")).await.is(200);
    assert_eq!(
        (&view["image"]["metadata"]["name"], &view["tag"]),
        (&json!(digest("1")), &Value::Null)
    );
    let message = "imagestreamtags.image.openshift.io \"s:r\" not found";
    api.get(&format!("{TAGS}/s:r")).await.fails(404, "NotFound", message);
    assert_eq!(names(&api.get(TAGS).await.is(200)), ["s:p"]);
    assert_eq!(names(&api.get(IMAGE_TAGS).await.is(200)), ["s:p", "s:r"]);
    assert_eq!(names(&api.get("imagetags").await.is(200)), ["s:p", "s:r"]);
}

#[tokio::test]
async fn whatever_is_read_of_a_stream_is_of_a_version_that_has_come() {
    // Every view of a stream rejects malformed and future resource versions.
    let api = Api::with_stream().await;
    api.push("t", &image("i")).await;
    for path in [
        "imagestreams/s",
        "imagestreams/s/status",
        "imagestreams/s/layers",
        "imagestreamtags/s:t",
        "imagetags/s:t",
    ] {
        let read = async |version: &str| {
            api.get(&format!("namespaces/ns/{path}?resourceVersion={version}")).await
        };
        read("1").await.is(200);
        let message = "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax";
        read("x").await.fails(400, "BadRequest", message);
        let refused = read("999999999999999999").await.is(504);
        assert_eq!(refused["details"]["causes"][0]["reason"], "ResourceVersionTooLarge", "{path}");
    }
}

#[tokio::test]
async fn no_tag_is_lost_between_the_pages_of_a_list() {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        api.post(STREAMS, &stream(name)).await.is(201);
        api.post(MAPPINGS, &mapping(name, "t", &image(&digest("1")))).await.is(201);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("{TAGS}?limit=1&continue={token}")).await.is(200);
        seen.extend(names(&page).iter().map(|name| (*name).to_owned()));
        match page["metadata"]["continue"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["a:t", "b:t", "c:t"]);
}

#[tokio::test]
async fn an_image_tag_can_be_read_changed_and_written_back() {
    let api = Api::start().await;
    api.post(STREAMS, &stream("s")).await.is(201);
    let wanted = json!({"name": "a", "from": {"kind": "DockerImage", "name": "r.io/a:1"}, "reference": true});
    let new = json!({"kind": "ImageTag", "apiVersion": "image.openshift.io/v1", "metadata": {"name": "s:a"}, "spec": wanted});
    api.post(IMAGE_TAGS, &new).await.is(201);
    let mut view = api.get(&format!("{IMAGE_TAGS}/s:a")).await.is(200);
    view["spec"]["from"]["name"] = "r.io/a:2".into();
    api.put(&format!("{IMAGE_TAGS}/s:a"), &view).await.is(200);
    assert_eq!(history(&api, "s").await, pairs(&[("a", "r.io/a:2")]));
    let mut view = api.get(&format!("{IMAGE_TAGS}/s:a")).await.is(200);
    view["spec"] = Value::Null;
    let view = api.put(&format!("{IMAGE_TAGS}/s:a"), &view).await.is(200);
    assert_eq!((&view["spec"], &view["status"]["tag"]), (&Value::Null, &json!("a")));
    api.delete(&format!("{IMAGE_TAGS}/s:a")).await.is(200);
    let message = "imagetags.image.openshift.io \"s:a\" not found";
    api.get(&format!("{IMAGE_TAGS}/s:a")).await.fails(404, "NotFound", message);
}

#[tokio::test]
async fn a_limit_to_histories_holds_for_every_way_into_a_tag() {
    // `--max-tag-history` counts events by reference and by push.
    let api = Api::with(&["--max-tag-history=2"]).await;
    api.post(STREAMS, &stream("s")).await.is(201);
    api.put(&format!("{TAGS}/s:t"), &tag("s:t", &reference("r.io/a:1"))).await.is(201);
    for hex in ["1", "2", "3"] {
        api.push("t", &image(&digest(hex))).await;
    }
    let stream = api.get(&format!("{STREAMS}/s")).await.is(200);
    let items = stream["status"]["tags"][0]["items"].as_array().unwrap();
    let images: Vec<&Value> = items.iter().map(|event| &event["image"]).collect();
    assert_eq!(images, [&json!(digest("3")), &json!(digest("2"))]);
}
