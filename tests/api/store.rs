//! The `store` commands: beside a running server, after it, and a server on the data that they
//! write.

mod damage;
mod schedule;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use imagestream_apiserver::domain::digest::Digest;
use imagestream_apiserver::store::embedded::{Embedded, Options};
use imagestream_apiserver::store::{Change, Key, Store, Txn};
use serde_json::{Value, json};

use crate::every_field::{layered, listing, old};
use crate::fixtures::{digest, image, index, mapping, names, stream, with_manifest};
use crate::harness::{
    Api, Expect, MAPPINGS, STREAM_IMAGES, STREAMS, TestServer, eventually, request,
};

/// The exit code and the output of a command.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs `store` with these arguments and this input.
pub(crate) fn run(arguments: &[&str], folder: &Path, input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"))
        .arg("store")
        .args(arguments)
        .arg(format!("--data-dir={}", folder.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    // A command that rejects its arguments does not read its input, so the write may fail.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input);
    child.wait_with_output().expect("the child can be waited for")
}

fn store(arguments: &[&str], folder: &Path) -> Said {
    let Output { status, stdout, stderr } = run(arguments, folder, b"");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is UTF-8");
    Said { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Runs a command that must succeed.
fn done(arguments: &[&str], folder: &Path) -> Said {
    let said = store(arguments, folder);
    assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
    said
}

fn data(api: &Api) -> PathBuf {
    api.server.folder().join("data")
}

/// Returns the number of incomplete files in a folder.
fn partial_files(folder: &Path) -> usize {
    let names = fs::read_dir(folder)
        .expect("the folder exists")
        .map(|entry| entry.expect("the file exists").file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".partial")).count()
}

/// Converts a path to an argument.
fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// Replaces the store of the stopped server with that of another folder, and starts the server.
async fn serve_instead(api: &mut Api, folder: &Path) {
    fs::remove_dir_all(data(api)).expect("the old store can be removed");
    fs::rename(folder, data(api)).expect("the new store can be moved");
    api.restart().await;
}

/// Starts a server whose stream has an image and a manifest list.
async fn server() -> Api {
    let api = Api::embedded_with_stream().await;
    api.push("one", &image(&digest("1"))).await;
    api.push("list", &index(&digest("2"), &[&digest("1")])).await;
    api
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
}

#[tokio::test]
async fn a_backup_beside_a_server_is_the_same_as_one_after_it() {
    let mut api = server().await;
    let folder = api.server.folder();
    let (beside, after) = (folder.join("beside"), folder.join("after"));
    let said = done(&["backup", text(&beside)], &data(&api));
    assert!(
        said.out.is_empty() && said.err.starts_with("backed up 7 entries as of revision "),
        "{said:?}"
    );
    let piped = run(&["backup"], &data(&api), b"").stdout;
    api.server.stop().await;
    done(&["backup", text(&after)], &data(&api));
    // Only the time differs, and the checksum with it.
    let content = |path| fs::read(path).expect("the file was written");
    let (beside_bytes, after_bytes) = (content(&beside), content(&after));
    assert_eq!((beside_bytes.len(), piped.len()), (after_bytes.len(), after_bytes.len()));
    assert_eq!(beside_bytes[28..beside_bytes.len() - 32], after_bytes[28..after_bytes.len() - 32]);
    assert_eq!(piped[28..piped.len() - 32], after_bytes[28..after_bytes.len() - 32]);
    assert_eq!(fs::metadata(&beside).expect("the file exists").permissions().mode() & 0o777, 0o600);
    let said = store(&["backup", text(&after)], &data(&api));
    assert!(said.code == Some(1) && said.err.contains("exists already"), "{said:?}");
    assert_eq!(partial_files(&folder), 0);
}

#[tokio::test]
async fn only_the_user_of_the_server_can_ask_for_a_backup() {
    let api = server().await;
    let socket = fs::metadata(data(&api).join("backup.sock")).expect("the file exists");
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn stalled_backup_client_does_not_delay_shutdown() {
    let mut api = server().await;
    // More data than the buffers of a socket hold.
    for n in 0..10 {
        let mut large = image(&format!("large-{n}"));
        large["dockerImageConfig"] = "x".repeat(500_000).into();
        api.post("images", &large).await.is(201);
    }
    let socket = data(&api).join("backup.sock");
    let connect =
        || std::os::unix::net::UnixStream::connect(&socket).expect("the server listens there");
    drop(connect());
    let _stands_still = connect();
    api.get("images/large-0").await.is(200);
    api.post("images", &image("after")).await.is(201);
    api.server.stop().await;
    done(&["check"], &data(&api));
}

const WRITERS: usize = 6;

/// Pushes images until `stop` is set, and records the acknowledged ones.
async fn push_on(
    api: &Api,
    next: &AtomicUsize,
    stop: &AtomicUsize,
    acknowledged: &Mutex<Vec<usize>>,
) {
    while stop.load(Ordering::SeqCst) == 0 {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let body = mapping("s", &format!("t{number}"), &image(&digest(&format!("{number:08x}"))));
        api.ask(request("POST", MAPPINGS).json(&body)).await.is(201);
        acknowledged.lock().expect("no test panics with the lock").push(number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_backup_restores_all_acknowledged_writes() {
    let mut api = Api::embedded_with_stream().await;
    let (next, stop, acknowledged) =
        (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let known = || acknowledged.lock().expect("no test panics with the lock").clone();
    let folder = api.server.folder();
    let (file, restored) = (folder.join("backup"), folder.join("restored"));
    let writers = join_all((0..WRITERS).map(|_| push_on(&api, &next, &stop, &acknowledged)));
    let backup = async {
        eventually("pushes are acknowledged", || async { known().len() >= 60 }).await;
        let before = known();
        let (file, data) = (file.clone(), data(&api));
        let done = tokio::task::spawn_blocking(move || done(&["backup", text(&file)], &data)).await;
        done.expect("the backup does not panic");
        // The server continues after the backup, and its clients see revisions that the backup does
        // not have.
        eventually("pushes continue", || async { known().len() >= before.len() + 60 }).await;
        stop.store(1, Ordering::SeqCst);
        before
    };
    let (_, before) = tokio::join!(writers, backup);
    let seen = api.get("images").await.is(200)["metadata"]["resourceVersion"].clone();
    let seen = seen.as_str().expect("a resourceVersion is a string").to_owned();
    api.server.stop().await;
    let said = done(&["restore", text(&file)], &restored);
    assert!(said.out.contains("count as compacted"), "{said:?}");
    done(&["check"], &restored);
    serve_instead(&mut api, &restored).await;
    let stream = api.get(&format!("{STREAMS}/s")).await.is(200);
    let images = api.get("images").await.is(200);
    let tags = stream["status"]["tags"].as_array().expect("the stream has tags");
    let stored = names(&images);
    for number in &before {
        let name = digest(&format!("{number:08x}"));
        assert!(
            tags.iter().any(|tag| tag["items"][0]["image"] == name.as_str()),
            "the event of {name}"
        );
        assert!(stored.contains(&name.as_str()), "the image of {name}");
    }
    assert_eq!(tags.len(), stored.len(), "image and event are written together");
    assert!(tags.len() < known().len(), "writes after the backup are lost");
    // A client with a revision of the old server must list again, even if the revision is later
    // than the backup.
    let old = format!("images?resourceVersion={seen}&resourceVersionMatch=Exact");
    api.get(&old).await.fails(
        410,
        "Expired",
        "The resourceVersion for the provided list is too old.",
    );
    let now =
        images["metadata"]["resourceVersion"].as_str().expect("a resourceVersion is a string");
    assert!(
        now.parse::<u64>().expect("a revision is a number")
            > seen.parse().expect("a revision is a number")
    );
}

/// Reads an image through the stream.
async fn shown(api: &Api, name: &str) -> Value {
    api.get(&format!("{STREAM_IMAGES}/s@{name}")).await.is(200)
}

#[tokio::test]
async fn objects_go_out_as_lines_and_into_another_store_as_they_were() {
    let mut api = server().await;
    let folder = api.server.folder();
    let (file, other) = (folder.join("objects.jsonl"), folder.join("other"));
    let said = done(&["export", text(&file)], &data(&api));
    assert!(said.err.starts_with("exported 3 objects as of revision "), "{said:?}");
    let exported = fs::read_to_string(&file).expect("the file was written");
    let objects = lines(&exported);
    let kinds: Vec<_> = objects
        .iter()
        .map(|object| object["kind"].as_str().expect("an object has a kind"))
        .collect();
    assert_eq!(kinds, ["Image", "Image", "ImageStream"]);
    assert!(objects.iter().all(|object| object["apiVersion"] == "image.openshift.io/v1"));
    assert!(objects.iter().all(|object| object["metadata"]["resourceVersion"].is_null()));
    let (stream, before) =
        (api.get(&format!("{STREAMS}/s")).await.is(200), shown(&api, &digest("2")).await);
    api.server.stop().await;
    let said = done(&["import", text(&file)], &other);
    assert!(
        said.out.starts_with("3 objects stored, 0 skipped because they exist, 0 refused\n"),
        "{said:?}"
    );
    assert!(said.out.contains("objects keep uid, creationTimestamp and status"), "{said:?}");
    assert_eq!(done(&["export"], &other).out, exported, "the lines of both stores are the same");
    assert!(
        done(&["check"], &other).out.contains("2 images and 1 streams are readable and consistent")
    );
    serve_instead(&mut api, &other).await;
    let (mut again, mut after) =
        (api.get(&format!("{STREAMS}/s")).await.is(200), shown(&api, &digest("2")).await);
    for kept in ["uid", "creationTimestamp"] {
        assert_eq!(again["metadata"][kept], stream["metadata"][kept], "{kept}");
    }
    // The resourceVersion depends on the store.
    again["metadata"]["resourceVersion"] = stream["metadata"]["resourceVersion"].clone();
    after["image"]["metadata"]["resourceVersion"] =
        before["image"]["metadata"]["resourceVersion"].clone();
    assert_eq!((again, after), (stream, before));
}

/// Adds a valid image reference to an image whose name is not a digest.
fn referring(mut image: Value) -> Value {
    image["dockerImageReference"] = "registry.example.com/ns/s:1".into();
    image
}

#[tokio::test]
async fn every_form_of_image_survives_export_and_check() {
    let mut api = Api::embedded().await;
    let config = r#"{"architecture":"arm64","created":"2020-01-02T03:04:05.678Z"}"#;
    let manifest = json!({"schemaVersion": 2, "mediaType": crate::fixtures::OCI_MANIFEST,
        "config": {"digest": Digest::sha256_of(config).as_str(), "size": 2}, "layers": [{"digest": digest("d"), "size": 7}]});
    let mut broken = image("broken");
    broken["dockerImageManifest"] = "{oops".into();
    let mut kept_elsewhere = with_manifest("kept-elsewhere", &manifest, "{}");
    kept_elsewhere["metadata"]["annotations"] =
        json!({"image.openshift.io/manifestBlobStored": "true"});
    let images = [
        referring(layered("layered")),
        referring(listing("listing")),
        referring(old("old")),
        with_manifest("whole", &manifest, config),
        with_manifest("no-config", &manifest, ""),
        broken,
        kept_elsewhere,
    ];
    for image in &images {
        api.post("images", image).await.is(201);
    }
    api.server.stop().await;
    let other = api.server.folder().join("other");
    done(&["check"], &data(&api));
    let exported = run(&["export"], &data(&api), b"").stdout;
    let imported = run(&["import", "-"], &other, &exported);
    assert!(imported.status.success(), "{imported:?}");
    assert_eq!(run(&["export"], &other, b"").stdout, exported);
    done(&["check"], &other);
}

#[tokio::test]
async fn objects_are_taken_out_of_backups_too() {
    // `export --backup` reads a backup without a data folder.
    let api = server().await;
    let file = api.server.folder().join("backup");
    done(&["backup", text(&file)], &data(&api));
    let nowhere = api.server.folder().join("nowhere");
    let exported = done(&["export", &format!("--backup={}", text(&file))], &nowhere).out;
    assert_eq!(exported, done(&["export"], &data(&api)).out);
    assert!(!nowhere.exists());
}

#[test]
fn what_kubectl_prints_is_imported_but_for_what_is_not_sound() {
    // `import` reads the list that kubectl prints, and skips invalid objects.
    let folder = tempfile::tempdir().expect("a folder can be created");
    let data = folder.path().join("data");
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "size": 2}});
    let forged = with_manifest(&digest("f"), &manifest, "{}");
    let mut named = image("named");
    named["metadata"]["resourceVersion"] = "12345".into();
    named["metadata"]["uid"] = "6f3a0f5e-0000-4000-8000-000000000000".into();
    named["metadata"]["creationTimestamp"] = "2020-01-02T03:04:05Z".into();
    let mut homeless = stream("homeless");
    homeless["metadata"]["name"] = "homeless".into();
    let mut housed = stream("housed");
    housed["metadata"]["namespace"] = "ns".into();
    housed["status"] = json!({"dockerImageRepository": "", "tags": [crate::fixtures::history("t", &[&digest("1")])]});
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}});
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""},
        "items": [named, forged, homeless, housed, pod]});
    let pretty = serde_json::to_vec_pretty(&list).expect("the object can be encoded");
    let import = |flags: &[&str]| {
        let output = run(&[&["import", "-"], flags].concat(), &data, &pretty);
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    };
    let said = import(&["--dry-run"]);
    assert!(said.out.contains("dry run, nothing was stored: 2 objects stored"), "{said:?}");
    assert!(!data.exists(), "a dry run creates nothing");
    let failed = run(&["import", "-"], &data, &[&pretty, &b"\n{"[..]].concat());
    assert_eq!(failed.status.code(), Some(1));
    assert!(!data.join("store.redb").exists(), "a failed import leaves nothing in the way");
    let said = import(&[]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.starts_with("2 objects stored, 0 skipped because they exist, 3 refused\n"),
        "{said:?}"
    );
    for told in [
        &format!(
            "metadata.name: Invalid value: \"{}\": must be the digest of the manifest, which is ",
            digest("f")
        ),
        "metadata.namespace: Invalid value: \"\"",
        "line 1, item 2: Image.image.openshift.io ",
        "line 1, item 5: \"Pod\" of \"v1\" is not stored here",
    ] {
        assert!(said.err.contains(told), "{told} is not in {}", said.err);
    }
    let objects = lines(&done(&["export"], &data).out);
    let named = &objects[0]["metadata"];
    assert_eq!(named["uid"], "6f3a0f5e-0000-4000-8000-000000000000");
    assert_eq!(named["creationTimestamp"], "2020-01-02T03:04:05Z");
    let housed = &objects[1];
    assert_eq!(housed["status"]["tags"][0]["items"][0]["image"], digest("1"), "the status is kept");
    assert!(
        housed["metadata"]["uid"].as_str().is_some_and(|uid| uid.len() == 36),
        "a missing uid is generated"
    );
    assert!(housed["metadata"]["creationTimestamp"].is_string());
    assert!(import(&[]).err.contains("images.image.openshift.io \"named\" already exists"));
    let said = import(&["--existing=skip"]);
    assert!(
        said.out.starts_with("0 objects stored, 2 skipped because they exist, 3 refused\n"),
        "{said:?}"
    );
    let said = import(&["--existing=replace"]);
    assert!(
        said.out
            .starts_with("0 objects stored, 2 replaced, 0 skipped because they exist, 3 refused\n"),
        "{said:?}"
    );
    done(&["check"], &data);
    let said = done(&["import", "/dev/null"], &data);
    assert!(
        said.out.starts_with("0 objects stored, 0 skipped because they exist, 0 refused\n"),
        "{said:?}"
    );
    let output = run(&["import", "-"], &data, b"{\"kind\":");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("as a sequence of JSON objects"),
        "{output:?}"
    );
    let output = run(&["import", "-"], &data, b"apiVersion: v1\nkind: List\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("this is YAML"), "{output:?}");
}
