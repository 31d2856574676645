//! Transfers to and from etcd in the layout of openshift-apiserver, and the commands `check` and
//! `store` there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imagestream_apiserver::machinery::protobuf::{
    ENVELOPE_TAIL, TypeMeta, decode_envelope, envelope_head,
};
use imagestream_apiserver::store::etcd::Etcd;
use imagestream_apiserver::store::{Change, Entry, Key, Range, Store, Txn};
use serde_json::Value;

use crate::captured::{Captured, captured};
use crate::command::{Said, check, command, export, fill, run, text, transfer, transferred};
use crate::harness::{Lab, within};
use crate::lab::EtcdLab;
use crate::objects::{bare, digest, lines};
use crate::transfer::PATIENCE;

/// The objects of [`shareable`] besides those that it is asked for.
const FURTHER: usize = 5;
/// A field of a newer version at the end of a message.
const NEWER_FIELD: &[u8] = b"\xfa\x01\x03new";
/// An encrypted value.
const ENCRYPTED: &[u8] = b"k8s:enc:aescbc:v1:key1:xyz";

/// The keys of openshift-apiserver below one prefix.
struct OpenShiftKeys {
    store: Arc<Etcd>,
    servers: String,
    prefix: String,
}

impl OpenShiftKeys {
    async fn below_new_prefix(lab: &EtcdLab<1>) -> Self {
        let prefix = format!("/{}", uuid::Uuid::new_v4());
        let store = lab.openshift(&prefix).await;
        Self { store, servers: lab.address().0, prefix }
    }

    /// The place of a transfer.
    fn place(&self) -> String {
        format!("etcd:{}?layout=openshift&prefix={}", self.servers, self.prefix)
    }

    /// Runs a command with the flags of a server.
    fn run(&self, arguments: &[&str], input: &str) -> Said {
        let flags = [
            "--storage-backend=etcd3".to_owned(),
            "--storage-layout=openshift".to_owned(),
            format!("--etcd-servers={}", self.servers),
            format!("--etcd-prefix={}", self.prefix),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        run(&[arguments, &flags].concat(), input)
    }

    /// Writes a value as another server does. `name` is that of the object with its resource.
    async fn put(&self, name: &str, value: Vec<u8>) {
        let change = Change::Put(Key::new(format!("/image.openshift.io/{name}")), value.into());
        let txn = Txn { changes: vec![change], ..Txn::default() };
        within(self.store.commit(txn)).await.expect("etcd responds");
    }

    /// Writes the last captured value of each key, and returns their number.
    async fn put_captured(&self) -> usize {
        let captured = captured();
        for Captured { key, value, .. } in captured.values() {
            let name = key.strip_prefix("/openshift.io/").expect("it has the default prefix");
            self.put(name, STANDARD.decode(value).expect("values are in base64")).await;
        }
        captured.len()
    }

    async fn values(&self) -> BTreeMap<String, Vec<u8>> {
        let page = within(self.store.range(Range::default())).await.expect("etcd responds");
        assert!(!page.more);
        let value = |entry: Entry| (entry.key.as_str().to_owned(), entry.value.to_vec());
        page.entries.into_iter().map(value).collect()
    }

    async fn count(&self) -> u64 {
        let outline = within(self.store.outline(Range::default())).await.expect("etcd responds");
        outline.entries + outline.remaining
    }
}

/// Lines with objects that have a place in this layout.
fn shareable(images: usize, streams: usize) -> String {
    let lines = lines(images, streams);
    let kept = lines.lines().filter(|line| !line.contains("SupersededImage"));
    kept.map(|line| format!("{line}\n")).collect()
}

/// The objects of an export without internal fields.
fn api_objects(export: &str) -> Vec<Value> {
    let object = |line: &str| {
        let mut object: Value = serde_json::from_str(line).expect("a line is JSON");
        let fields = object.as_object_mut().expect("it is an object");
        ["evidence", "unproved"].iter().for_each(|field| drop(fields.remove(*field)));
        object
    };
    export.lines().map(object).collect()
}

/// A value with a field that this version does not know.
fn with_newer_field(kind: &str, value: &[u8]) -> Vec<u8> {
    enveloped(kind, &[message(value), NEWER_FIELD].concat())
}

/// The message in a value.
fn message(value: &[u8]) -> &[u8] {
    decode_envelope(value).expect("it is protobuf").message
}

/// The value with a message.
fn enveloped(kind: &str, message: &[u8]) -> Vec<u8> {
    let type_meta = TypeMeta { api_version: "image.openshift.io/v1", kind };
    let mut value = envelope_head(type_meta, message.len());
    value.extend_from_slice(message);
    value.extend(ENVELOPE_TAIL);
    value
}

/// Asserts that all values are copied but those of images whose digests do not match, which
/// openshift-apiserver accepts.
fn assert_copied(said: &Said, all: &BTreeMap<String, Vec<u8>>, copied: &BTreeMap<String, Vec<u8>>) {
    let is_refusal = |line: &&str| line.contains("is invalid: ") && line.contains("digest");
    let refused = said.err.lines().filter(is_refusal).count();
    assert!((1..20).contains(&refused) && said.code == Some(1), "{said:?}");
    assert_eq!(copied.len() + refused, all.len(), "{said:?}");
    for (key, value) in copied {
        assert_eq!(all.get(key), Some(value), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_openshift_there_and_back_are_equal() {
    let lab = EtcdLab::<1>::start().await;
    let captured = OpenShiftKeys::below_new_prefix(&lab).await;
    captured.put_captured().await;
    let [from, back] =
        [OpenShiftKeys::below_new_prefix(&lab).await, OpenShiftKeys::below_new_prefix(&lab).await];
    let copied = transfer(&captured.place(), &from.place(), &[]);
    let values = from.values().await;
    assert_copied(&copied, &captured.values().await, &values);
    let folder = tempfile::tempdir().expect("a folder can be created");
    let own = folder.path().join("own");
    let there = transferred(&from.place(), text(&own));
    assert!(there.out.starts_with(&format!("{} objects stored", values.len())), "{there:?}");
    check(&own);
    let home = transferred(text(&own), &back.place());
    assert_eq!(home.out, there.out, "the digest is the same in both directions");
    assert_eq!(back.values().await, values);
    let again = transferred(&from.place(), &back.place());
    let equal = format!("0 objects stored, 0 replaced, {} equal already", values.len());
    assert!(again.out.contains(&equal), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_keeps_its_evidence_when_objects_return() {
    let lab = EtcdLab::<1>::start().await;
    let shared = OpenShiftKeys::below_new_prefix(&lab).await;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let [own, other] = ["own", "other"].map(|name| folder.path().join(name));
    let exported = fill(&own, &shareable(200, 40));
    let all = 240 + FURTHER;
    let dry = transfer(text(&own), &shared.place(), &["--dry-run"]);
    assert!(dry.code == Some(0) && dry.out.contains(&format!("{all} objects stored")), "{dry:?}");
    assert_eq!(shared.count().await, 0);
    let there = transferred(text(&own), &shared.place());
    let images = 200 + FURTHER - 1;
    let unrecorded = format!("{} objects lose the record of what proves their images", images + 1);
    assert!(there.out.contains(&unrecorded), "{there:?}");
    let home = transferred(&shared.place(), text(&own));
    assert!(home.out.contains(&format!("{all} equal already, 0 refused")), "{home:?}");
    assert_eq!(export(&own), exported);
    transferred(&shared.place(), text(&other));
    assert_eq!(api_objects(&export(&other)), api_objects(&exported));
    check(&other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_transfer_to_openshift_keys_goes_on() {
    const IMAGES: usize = 1500;
    let lab = EtcdLab::<1>::start().await;
    let shared = OpenShiftKeys::below_new_prefix(&lab).await;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let own = folder.path().join("own");
    fill(&own, &shareable(IMAGES, 150));
    let all = (IMAGES + 150 + FURTHER) as u64;
    for kill in 0..2 {
        let before = shared.count().await;
        let mut child = command(&["transfer", "--from", text(&own), "--to", &shared.place()])
            .spawn()
            .expect("the binary can be started");
        let begun = Instant::now();
        while shared.count().await < before + 50 {
            let ended = child.try_wait().expect("the child can be waited for");
            assert!(ended.is_none(), "transfer {kill} ended before the kill: {ended:?}");
            assert!(begun.elapsed() < PATIENCE, "transfer {kill} stores nothing");
        }
        child.kill().expect("the child can be killed");
        child.wait().expect("the child can be waited for");
        assert!(shared.count().await < all, "kill {kill} came too late");
    }
    let said = transferred(text(&own), &shared.place());
    let verified = format!("verified: {all} objects are equal");
    assert!(said.out.contains(&verified) && !said.out.contains(", 0 equal"), "{said:?}");
    assert_eq!(shared.count().await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_a_newer_server_stay_in_openshift_keys() {
    let lab = EtcdLab::<1>::start().await;
    let [from, to] =
        [OpenShiftKeys::below_new_prefix(&lab).await, OpenShiftKeys::below_new_prefix(&lab).await];
    let folder = tempfile::tempdir().expect("a folder can be created");
    let own = folder.path().join("own");
    fill(&own, &shareable(1, 1));
    transferred(text(&own), &from.place());
    for (key, value) in from.values().await {
        let kind = if key.contains("/images/") { "Image" } else { "ImageStream" };
        let name = key.strip_prefix("/image.openshift.io/").expect("it is a shared key");
        from.put(name, with_newer_field(kind, &value)).await;
    }
    let all = 2 + FURTHER;
    let said = transferred(&from.place(), &to.place());
    assert!(said.out.starts_with(&format!("{all} objects stored")), "{said:?}");
    let values = to.values().await;
    assert!(values.values().all(|value| message(value).ends_with(NEWER_FIELD)));
    assert_eq!(values, from.values().await);
    // A target without the fields differs.
    let (key, value) = values.first_key_value().expect("there are values");
    let name = key.strip_prefix("/image.openshift.io/").expect("it is a shared key");
    let older = message(value).strip_suffix(NEWER_FIELD).expect("it has the field");
    to.put(name, enveloped("Image", older)).await;
    let said = transfer(&from.place(), &to.place(), &[]);
    assert!(said.err.contains("the target has another version"), "{said:?}");
    // Other places have no room for them.
    let said = transferred(&from.place(), text(&folder.path().join("new")));
    let cropped = format!("{all} objects lose fields of protobuf");
    assert!(said.out.contains(&cropped), "{said:?}");
    let said = transferred(&from.place(), text(&own));
    assert!(said.out.contains(&format!("{all} equal already")), "{said:?}");
    let said = from.run(&["store", "export"], "");
    assert!(said.err.contains(&format!("{all} of them lose fields")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_values_are_named_and_the_rest_goes() {
    let lab = EtcdLab::<1>::start().await;
    let shared = OpenShiftKeys::below_new_prefix(&lab).await;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let [own, to] = ["own", "to"].map(|name| folder.path().join(name));
    fill(&own, &format!("{}\n", bare(&digest("b"), "uid-b")));
    transferred(text(&own), &shared.place());
    for name in ["a", "c"] {
        shared.put(&format!("images/{}", digest(name)), ENCRYPTED.to_vec()).await;
    }
    shared.put("imagestreams/ns/s", ENCRYPTED.to_vec()).await;
    let names = [digest("a"), digest("c"), "ns/s".to_owned()];
    let is_named = |said: &Said, name: &String| {
        let of = |line: &&str| line.contains(name.as_str());
        let line = said.err.lines().find(of).unwrap_or_default();
        line.contains("the provider \"aescbc:v1:key1\"")
    };
    for flags in [&["--dry-run"][..], &[]] {
        let said = transfer(&shared.place(), text(&to), flags);
        assert_eq!(said.code, Some(1), "{said:?}");
        let counts = "1 objects stored, 0 replaced, 0 equal already, 3 refused";
        assert!(said.out.contains(counts), "{said:?}");
        assert!(names.iter().all(|name| is_named(&said, name)), "{said:?}");
    }
    assert_eq!(api_objects(&export(&to)), api_objects(&export(&own)));
    // An encrypted value of the target stays unless it may be replaced.
    fill(&folder.path().join("more"), &format!("{}\n", bare(&digest("a"), "uid-a")));
    let more = folder.path().join("more");
    let said = transfer(text(&more), &shared.place(), &[]);
    assert!(said.code == Some(1) && said.err.contains("already exists"), "{said:?}");
    let said = shared.run(&["store", "export"], "");
    assert_eq!((said.code, said.out.lines().count()), (Some(1), 1), "{said:?}");
    assert!(names.iter().all(|name| is_named(&said, name)), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superseded_image_has_no_place_in_openshift_keys() {
    let lab = EtcdLab::<1>::start().await;
    let shared = OpenShiftKeys::below_new_prefix(&lab).await;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let own = folder.path().join("own");
    let exported = fill(&own, &lines(1, 1));
    for flags in [&["--dry-run"][..], &[]] {
        let said = transfer(text(&own), &shared.place(), flags);
        assert_eq!(said.code, Some(1), "{said:?}");
        let counts =
            format!("{} objects stored, 0 replaced, 0 equal already, 1 refused", 2 + FURTHER);
        assert!(said.out.contains(&counts), "{said:?}");
        let named = format!("refused: SupersededImage {}: ", digest("54"));
        assert!(said.err.contains(&named), "{said:?}");
    }
    assert_eq!(shared.count().await, (2 + FURTHER) as u64);
    let said = shared.run(&["store", "import", "--existing=skip", "-"], &exported);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("has no superseded images"), "{said:?}");
    assert_eq!(shared.count().await, (2 + FURTHER) as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_commands_work_on_openshift_keys_or_name_others() {
    let lab = EtcdLab::<1>::start().await;
    let [from, to] =
        [OpenShiftKeys::below_new_prefix(&lab).await, OpenShiftKeys::below_new_prefix(&lab).await];
    let empty = from.run(&["store", "export"], "");
    let hint = format!("has no store below {}: correct --etcd-prefix", from.prefix);
    assert!(empty.code == Some(1) && empty.err.contains(&hint), "{empty:?}");
    let said = from.run(&["check"], "");
    assert!(said.out.contains(&format!("no images and streams below {}", from.prefix)), "{said:?}");
    let all = from.put_captured().await;
    let exported = from.run(&["store", "export"], "");
    assert_eq!((exported.code, exported.out.lines().count()), (Some(0), all), "{}", exported.err);
    let imported = to.run(&["store", "import", "-"], &exported.out);
    // An import completes images, as those that clients create.
    let complete = |values: BTreeMap<String, Vec<u8>>| {
        let is_complete = |key: &String| !key.ends_with("/conf-images-lo4");
        values.into_iter().filter(|(key, _)| is_complete(key)).collect()
    };
    assert_copied(&imported, &complete(from.values().await), &complete(to.values().await));
    let said = from.run(&["check"], "");
    assert!(said.out.contains("can be read"), "{said:?}");
    let file = tempfile::tempdir().expect("a folder can be created").path().join("file");
    for arguments in [&["store", "backup", text(&file)][..], &["store", "check"]] {
        let said = from.run(arguments, "");
        assert!(said.code == Some(1) && said.err.contains("etcdctl snapshot save"), "{said:?}");
    }
    assert!(!Path::new(&file).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openshift_prefix_without_objects_is_no_source() {
    let lab = EtcdLab::<1>::start().await;
    let shared = OpenShiftKeys::below_new_prefix(&lab).await;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let said = transfer(&shared.place(), text(&folder.path().join("to")), &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("has no store: name another prefix or layout"), "{said:?}");
}
