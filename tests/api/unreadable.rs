//! Objects whose stored values are damaged: they cost only themselves, can be deleted and replaced,
//! and derived rows are made again.

use std::fs;
use std::path::Path;

use imagestream_apiserver::domain::digest::Digest;
use imagestream_apiserver::store::embedded::{DATA_FILE, Embedded, Options};
use imagestream_apiserver::store::{Entry, Key, Lookup, Range, Store};
use serde_json::{Value, json};

use crate::fixtures::{digest, image, index, mapping, stream, with_manifest};
use crate::harness::{Api, Expect, MAPPINGS, STREAM_IMAGES, STREAMS, TestServer, request};
use crate::store::run;
use crate::tenants::{ADMIN, MALLORY, MIKE, Tenants};

/// The dictionary of compressed values.
const DICTIONARY: &[u8] = include_bytes!("../../src/store/embedded/dictionary.txt");
const OPTION: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

/// Flips a bit in the stored value of a key.
async fn damage(folder: &Path, key: &str) {
    let store = Embedded::open(Options::new(folder)).expect("the server has closed the store");
    let found = store.get(&Key::new(key), None).await.expect("the value is intact");
    let Lookup::Found(Entry { value, .. }) = found else { panic!("{key} has no value") };
    drop(store);
    let path = folder.join(DATA_FILE);
    let mut content = fs::read(&path).expect("the file exists");
    // The store compresses what becomes smaller.
    let forms = [value.to_vec(), lz4_flex::block::compress_with_dict(&value, DICTIONARY)];
    let mut found = 0;
    for form in forms.iter().filter(|form| form.len() > 1) {
        for at in 0..=content.len() - form.len() {
            if content[at..].starts_with(form) {
                content[at + form.len() / 2] ^= 1;
                found += 1;
            }
        }
    }
    assert!(found > 0, "the value of {key} is in the file");
    fs::write(&path, content).expect("the file can be written");
}

/// Stops the server, damages these values, and starts it again.
async fn restart_with_damage(api: &mut Api, keys: &[&str]) {
    api.server.stop().await;
    for key in keys {
        damage(&api.server.folder().join("data"), key).await;
    }
    api.restart().await;
}

fn key(resource_and_name: &str) -> String {
    format!("/image.openshift.io/{resource_and_name}")
}

fn ignoring() -> Value {
    json!({ OPTION: true })
}

/// An image whose manifest proves it.
fn proved() -> Value {
    const CONFIG: &str = r#"{"architecture":"amd64"}"#;
    let config = json!({"digest": Digest::sha256_of(CONFIG).to_string(), "size": CONFIG.len()});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": config,
        "layers": [{"digest": digest("1a"), "size": 5, "mediaType": "l"}],
    });
    let name = Digest::sha256_of(manifest.to_string()).to_string();
    with_manifest(&name, &manifest, CONFIG)
}

#[tokio::test]
async fn a_damaged_value_costs_one_object() {
    let mut api = Api::embedded_with_stream().await;
    for name in ["bad", "good", "worse"] {
        api.post("images", &image(name)).await.is(201);
    }
    api.push("bad", &image("bad")).await;
    api.push("good", &image("good")).await;
    restart_with_damage(&mut api, &[&key("images/bad"), &key("images/worse")]).await;
    let bad = api.get("images/bad").await.is(500);
    assert!(bad["message"].as_str().is_some_and(|text| text.contains("images/bad")), "{bad}");
    api.get("images/good").await.is(200);
    for path in ["images", "images?limit=2"] {
        let list = api.get(path).await.is(500);
        let causes = list["details"]["causes"].as_array().expect("the list has causes");
        assert_eq!(
            (&list["reason"], !causes.is_empty()),
            (&json!("StorageReadError"), true),
            "{list}"
        );
        assert_eq!(causes[0]["field"], key("images/bad"));
    }
    let list = api.get("images").await.is(500);
    assert_eq!(list["details"]["causes"][1]["field"], key("images/worse"), "{list}");
    assert_eq!(list["details"]["kind"], "images");
    // Other objects, and pages without it, are served.
    api.get(STREAMS).await.is(200);
    api.get("namespaces/ns/imagestreamtags/s:good").await.is(200);
    let layers = api.get(&format!("{STREAMS}/s/layers")).await.is(200);
    let shown: Vec<_> = layers["images"].as_object().expect("it has images").keys().collect();
    assert_eq!(shown, ["good"]);
    api.get("images?fieldSelector=metadata.name%3Dgood").await.is(200);
    api.put("images/good", &api.get("images/good").await.is(200)).await.is(200);
    // Without the option, nothing is deleted.
    api.delete("images/bad").await.is(500);
    api.delete("images").await.is(500);
    for name in ["bad", "worse"] {
        let deletion = request("DELETE", &format!("images/{name}")).json(&ignoring());
        assert_eq!(api.ask(deletion).await.is(200)["status"], "Success");
        api.get(&format!("images/{name}")).await.is(404);
    }
    api.get("images").await.is(200);
    api.post("images", &image("bad")).await.is(201);
    api.server.stop().await;
    let check = run(&["check"], &api.server.folder().join("data"), b"");
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    // The damaged values are still in the history, and nothing else is wrong.
    assert!(said.contains("written by revision") && !said.contains("missing"), "{said}");
}

#[tokio::test]
async fn the_option_has_no_effect_on_readable_objects() {
    let api = Api::embedded_with_stream().await;
    api.post("images", &image("good")).await.is(201);
    api.push("one", &image(&digest("1"))).await;
    let rule = "is exclusively used to delete corrupt object(s), try again by removing this option";
    for path in ["images/good", &format!("{STREAMS}/s"), "images/none"] {
        let refused = api.ask(request("DELETE", path).json(&ignoring())).await.is(422);
        assert!(refused["message"].as_str().is_some_and(|text| text.contains(rule)), "{refused}");
    }
    let by_query = format!("images/good?{OPTION}=true");
    api.delete(&by_query).await.is(422);
    api.ask(request("DELETE", "namespaces/ns/imagestreamtags/s:one").json(&ignoring()))
        .await
        .is(422);
    let refused = api.ask(request("DELETE", "images").json(&ignoring())).await.is(422);
    let text = refused["message"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains("is not allowed with DELETECOLLECTION"), "{text}");
    let mut both = ignoring();
    both["dryRun"] = json!(["All"]);
    let refused = api.ask(request("DELETE", "images/good").json(&both)).await.is(422);
    let text = refused["message"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains("cannot be set together with .dryRun"), "{text}");
    api.get("images/good").await.is(200);
    api.get("namespaces/ns/imagestreamtags/s:one").await.is(200);
}

#[tokio::test]
async fn replacing_an_unreadable_object_needs_the_verb() {
    let mut tenants = Tenants::embedded().await;
    tenants.server.stop().await;
    let folder = tenants.server.folder().join("data");
    damage(&folder, &key("imagestreams/ten-a/mine")).await;
    damage(&folder, &key("imagestreams/ten-a/more")).await;
    tenants.server.restart().await;
    let (one, all) = (MIKE.path("imagestreams/mine"), MIKE.path("imagestreams"));
    let mut labeled = stream("mine");
    labeled["metadata"]["labels"] = json!({"new": "yes"});
    let refusals = [
        tenants.post(MIKE, &all, &labeled).await,
        tenants.ask(MIKE, "PUT", &one, Some(&labeled)).await,
        tenants.ask(MIKE, "DELETE", &one, Some(&ignoring())).await,
    ];
    for refusal in refusals {
        let refusal = refusal.is(403);
        let text = refusal["message"].as_str().unwrap_or_default();
        assert!(text.contains("cannot unsafe-delete-ignore-read-errors"), "{text}");
    }
    tenants.get(ADMIN, &one).await.is(500);
    labeled["metadata"]["resourceVersion"] = "7".into();
    let made = tenants.ask(MALLORY, "PUT", &one, Some(&labeled)).await.is(201);
    assert_eq!(made["metadata"]["labels"]["new"], "yes");
    tenants.post(MALLORY, &all, &stream("more")).await.is(201);
    tenants.post(MALLORY, &all, &stream("more")).await.is(409);
    assert_eq!(tenants.get(MALLORY, &all).await.is(200)["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_proved_push_heals_an_image() {
    let mut api = Api::embedded_with_stream().await;
    let image = proved();
    let name = image["metadata"]["name"].as_str().expect("it has a name").to_owned();
    api.push("one", &image).await;
    let before = api.get(&format!("{STREAM_IMAGES}/s@{name}")).await.is(200);
    restart_with_damage(&mut api, &[&key(&format!("images/{name}"))]).await;
    // A push without proof does not replace it.
    let mut forged = image.clone();
    forged["dockerImageManifest"] = "".into();
    api.post(MAPPINGS, &mapping("s", "two", &forged)).await.is(500);
    api.get(&format!("images/{name}")).await.is(500);
    api.push("two", &image).await;
    api.get(&format!("images/{name}")).await.is(200);
    let after = api.get(&format!("{STREAM_IMAGES}/s@{name}")).await.is(200);
    assert_eq!(after["image"]["dockerImageLayers"], before["image"]["dockerImageLayers"]);
    api.get("images").await.is(200);
}

#[tokio::test]
async fn damaged_derived_rows_are_made_again() {
    let mut api = Api::embedded_with_stream().await;
    let (part, list) = (digest("1"), digest("2"));
    api.push("part", &image(&part)).await;
    api.push("list", &index(&list, &[&part, &digest("3")])).await;
    let view = format!("{STREAM_IMAGES}/s@{part}");
    let by_prefix = format!("{STREAM_IMAGES}/s@{}", &part[..20]);
    let before = api.get(&view).await.is(200);
    let keys = [key(&format!("views/{part}")), key(&format!("lists/{list}"))];
    restart_with_damage(&mut api, &[&keys[0], &keys[1]]).await;
    for path in [&view, &by_prefix, &view, &by_prefix] {
        let mut after = api.get(path).await.is(200);
        // The image is written with its view.
        assert_ne!(
            after["image"]["metadata"]["resourceVersion"],
            before["image"]["metadata"]["resourceVersion"]
        );
        after["image"]["metadata"]["resourceVersion"] =
            before["image"]["metadata"]["resourceVersion"].clone();
        after["metadata"]["name"] = before["metadata"]["name"].clone();
        assert_eq!(after, before);
    }
    let stored = api.get(&format!("images/{part}")).await.is(200);
    let shown = api.get(&view).await.is(200);
    assert_eq!(
        stored["metadata"]["resourceVersion"],
        shown["image"]["metadata"]["resourceVersion"]
    );
    let log = api.server.log();
    let rebuilt = log.iter().filter(|line| line.contains("was rebuilt from its image"));
    assert_eq!(rebuilt.count(), 2, "each is logged once");
    api.server.stop().await;
    let folder = api.server.folder().join("data");
    let store = Embedded::open(Options::new(&folder)).expect("the server has closed the store");
    let all = store.range(Range { prefix: "/".into(), ..Range::default() }).await;
    assert_eq!(all.expect("every current value is intact").entries.len(), 7);
}

#[tokio::test]
async fn backup_and_export_keep_the_rest() {
    let mut api = Api::embedded_with_stream().await;
    for name in ["bad", "good"] {
        api.post("images", &image(name)).await.is(201);
    }
    let folder = api.server.folder();
    let data = folder.join("data");
    restart_with_damage(&mut api, &[&key("images/bad"), &key("views/good")]).await;
    // Beside the server and after it.
    for round in ["beside", "after"] {
        let backup = folder.join(format!("{round}.backup"));
        let backup = backup.to_str().expect("a plain name");
        let refused = run(&["backup", backup], &data, b"");
        assert_eq!(refused.status.code(), Some(1));
        assert!(!Path::new(backup).exists());
        let kept = run(&["backup", "--skip-damaged", backup], &data, b"");
        let said = String::from_utf8_lossy(&kept.stderr).into_owned();
        assert_eq!(kept.status.code(), Some(1));
        for missing in [key("images/bad"), key("views/good")] {
            assert!(said.contains(&format!("missing: {missing}, written by revision")), "{said}");
        }
        assert!(said.contains("2 damaged entries are missing"), "{said}");
        let of_backup = format!("--backup={backup}");
        for source in [&["export", "--skip-damaged"][..], &["export", "--skip-damaged", &of_backup]]
        {
            let export = run(source, &data, b"");
            let said = String::from_utf8_lossy(&export.stderr).into_owned();
            assert_eq!(export.status.code(), Some(1));
            assert!(said.contains("1 damaged objects are missing"), "{said}");
            let objects = String::from_utf8_lossy(&export.stdout).into_owned();
            assert_eq!(objects.lines().count(), 2, "{objects}");
            assert!(objects.contains(r#""name":"good""#) && !objects.contains(r#""name":"bad""#));
        }
        assert_eq!(run(&["export"], &data, b"").status.code(), Some(1));
        let restored = run(&["restore", backup], &folder.join("restored"), b"");
        let said = String::from_utf8_lossy(&restored.stderr).into_owned();
        assert!(restored.status.code() == Some(1) && said.contains("is damaged"), "{said}");
        assert!(!folder.join("restored/store.redb").exists());
        api.server.stop().await;
    }
    // An earlier export repairs the store in place, derived rows included.
    let objects: String = ["bad", "good"].map(|name| format!("{}\n", image(name))).concat();
    let repaired = run(&["import", "--existing=replace", "-"], &data, objects.as_bytes());
    let said = String::from_utf8_lossy(&repaired.stdout).into_owned();
    assert!(said.starts_with("0 objects stored, 2 replaced"), "{said}");
    assert_eq!(run(&["export"], &data, b"").status.code(), Some(0));
    assert_eq!(run(&["backup"], &data, b"").status.code(), Some(0));
}
