//! Transfers between data folders and etcd.

use std::time::{Duration, Instant};

use imagestream_apiserver::store::{Range, Store};
use serde_json::json;

use crate::command::{check, command, export, fill, run, text, transfer, transferred};
use crate::harness::{Lab, within};
use crate::lab::EtcdLab;
use crate::objects::{bare, digest, lines};

/// The objects besides those that [`lines`] is asked for.
const FURTHER: usize = 6;
/// The time in which a transfer makes progress, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The prefix of the keys of images.
const IMAGE_PREFIX: &str = "/image.openshift.io/images/";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_is_equal() {
    let lab = EtcdLab::<1>::start().await;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let [from, back] = ["from", "back"].map(|name| folder.path().join(name));
    let exported = fill(&from, &lines(200, 40));
    let all = 240 + FURTHER;
    let there = transferred(text(&from), &lab.place());
    assert!(there.out.starts_with(&format!("{all} objects stored")), "{there:?}");
    let again = transferred(text(&from), &lab.place());
    let equal = format!("0 objects stored, 0 replaced, {all} equal already");
    assert!(again.out.contains(&equal), "{again:?}");
    let home = transferred(&lab.place(), text(&back));
    assert_eq!(home.out, there.out, "the digest is the same in both directions");
    assert_eq!(export(&back), exported);
    check(&back);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_transfer_goes_on_without_duplicates() {
    const IMAGES: usize = 1500;
    let lab = EtcdLab::<1>::start().await;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let [from, back] = ["from", "back"].map(|name| folder.path().join(name));
    let exported = fill(&from, &lines(IMAGES, 150));
    for kill in 0..3 {
        let before = images(&*lab.store()).await;
        let mut child = command(&["transfer", "--from", text(&from), "--to", &lab.place()])
            .spawn()
            .expect("the binary can be started");
        let begun = Instant::now();
        while images(&*lab.store()).await < before + 200 {
            let ended = child.try_wait().expect("the child can be waited for");
            assert!(ended.is_none(), "transfer {kill} ended before the kill: {ended:?}");
            assert!(begun.elapsed() < PATIENCE, "transfer {kill} stores nothing");
        }
        child.kill().expect("the child can be killed");
        child.wait().expect("the child can be waited for");
        assert!(images(&*lab.store()).await < IMAGES as u64, "kill {kill} came too late");
    }
    let said = transferred(text(&from), &lab.place());
    let verified = format!("verified: {} objects are equal", IMAGES + 150 + FURTHER);
    assert!(said.out.contains(&verified) && !said.out.contains(", 0 equal"), "{said:?}");
    transferred(&lab.place(), text(&back));
    assert_eq!(export(&back), exported);
}

async fn images(store: &(impl Store + ?Sized)) -> u64 {
    let range = Range { prefix: IMAGE_PREFIX.to_owned(), ..Range::default() };
    let outline = within(store.outline(range)).await.expect("etcd responds");
    outline.entries + outline.remaining
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_beyond_the_limit_of_etcd_is_named_and_the_rest_goes() {
    let lab = EtcdLab::<1>::start().await;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let from = folder.path().join("from");
    let mut large = bare(&digest("a"), "uid-a");
    large["dockerImageConfig"] = "x".repeat(1_600_000).into();
    fill(&from, &format!("{large}\n{}\n", bare(&digest("b"), "uid-b")));
    for flags in [&["--dry-run"][..], &[]] {
        let said = transfer(text(&from), &lab.place(), flags);
        assert_eq!(said.code, Some(1), "{said:?}");
        let counts = "1 objects stored, 0 replaced, 0 equal already, 1 refused";
        assert!(said.out.contains(counts), "{said:?}");
        let named = format!("refused: Image {}: ", digest("a"));
        assert!(said.err.contains(&named) && said.err.contains("1507328"), "{said:?}");
        assert_eq!(images(&*lab.store()).await, u64::from(flags.is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_object_of_another_uid_stays_unless_overwritten() {
    let lab = EtcdLab::<1>::start().await;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let [from, other, back] = ["from", "other", "back"].map(|name| folder.path().join(name));
    let exported = fill(&from, &format!("{}\n", bare(&digest("a"), "uid-a")));
    let mut newer = bare(&digest("a"), "uid-b");
    newer["metadata"]["labels"] = json!({"newer": "true"});
    let kept = fill(&other, &format!("{newer}\n"));
    transferred(text(&other), &lab.place());
    let said = transfer(text(&from), &lab.place(), &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let named = format!("refused: Image {}: the target has another object", digest("a"));
    assert!(said.err.contains(&named), "{said:?}");
    assert_eq!(lab.export(), kept);
    let said = transfer(text(&from), &lab.place(), &["--overwrite"]);
    assert!(said.out.starts_with("0 objects stored, 1 replaced"), "{said:?}");
    transferred(&lab.place(), text(&back));
    assert_eq!(export(&back), exported);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefix_without_a_store_is_no_source() {
    let lab = EtcdLab::<1>::start().await;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let said = transfer(&format!("{}-other", lab.place()), text(&folder.path().join("to")), &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("has no store: name another prefix"), "{said:?}");
}

#[test]
fn unreachable_etcd_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let from = folder.path().join("from");
    fill(&from, &lines(1, 1));
    let said = transfer(text(&from), "etcd:http://127.0.0.1:1?request-timeout=1s", &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("no store can be opened in etcd at http://127.0.0.1:1"), "{said:?}");
}

impl EtcdLab<1> {
    /// The store as a place of a transfer.
    fn place(&self) -> String {
        let (servers, prefix) = self.address();
        format!("etcd:{servers}?prefix={prefix}")
    }

    fn export(&self) -> String {
        let (servers, prefix) = self.address();
        let flags = [format!("--etcd-servers={servers}"), format!("--etcd-prefix={prefix}")];
        let said = run(&["store", "export", "--storage-backend=etcd3", &flags[0], &flags[1]], "");
        assert_eq!(said.code, Some(0), "{said:?}");
        said.out
    }
}
