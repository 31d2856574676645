//! Transfers between data folders.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use imagestream_apiserver::domain::digest::Digest;

use crate::command::{check, command, export, fill, run, text, transfer, transferred};
use crate::objects::{bare, digest, lines};

/// The number of objects besides those that [`lines`] is asked for.
const FURTHER: usize = 6;
/// The time in which a transfer makes progress, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_object_arrives_as_it_was_and_is_verified() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
    let exported = fill(&from, &lines(20, 10));
    let all = 30 + FURTHER;
    let said = transferred(text(&from), &format!("embedded:{}", text(&to)));
    let stored = format!("{all} objects stored, 0 replaced, 0 equal already, 0 refused\n");
    assert!(said.out.starts_with(&stored), "{said:?}");
    let digest = Digest::sha256_of(&exported);
    let verified = format!("verified: {all} objects are equal, {}\n", digest.as_str());
    assert!(said.out.ends_with(&verified), "{said:?} {digest:?}");
    assert_eq!(export(&to), exported);
    check(&to);
    let again = transferred(text(&from), text(&to));
    let equal = format!("0 objects stored, 0 replaced, {all} equal already, 0 refused\n");
    assert!(again.out.starts_with(&equal), "{again:?}");
    assert_eq!(export(&to), exported);
}

#[test]
fn dry_run_names_what_does_not_fit_and_stores_nothing() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
    fill(&from, &lines(2, 1));
    let said = transfer(text(&from), text(&to), &["--dry-run"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let counts = format!(
        "dry run, nothing was stored: {} objects stored, 0 replaced, 0 equal already, 0 refused\n",
        3 + FURTHER
    );
    assert_eq!(said.out, counts);
    assert!(!to.exists(), "a dry run creates nothing");
    fill(&to, &format!("{}\n", bare(&digest("51"), "another")));
    let before = export(&to);
    let said = transfer(text(&from), text(&to), &["--dry-run"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let counts =
        format!("{} objects stored, 0 replaced, 0 equal already, 1 refused\n", 2 + FURTHER);
    assert!(said.out.ends_with(&counts), "{said:?}");
    assert!(said.err.contains(&format!("refused: Image {}: ", digest("51"))), "{said:?}");
    assert_eq!(export(&to), before);
}

#[test]
fn another_object_of_the_name_stays_unless_overwritten() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
    let mut labelled = bare(&digest("b"), "same");
    labelled["metadata"]["labels"] = serde_json::json!({"a": "b"});
    let (new, other) = (bare(&digest("a"), "one"), bare(&digest("a"), "another"));
    let exported = fill(&from, &format!("{new}\n{}\n", bare(&digest("b"), "same")));
    fill(&to, &format!("{other}\n{labelled}\n{}\n", bare(&digest("c"), "only here")));
    let before = export(&to);
    let said = transfer(text(&from), text(&to), &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    for named in [
        format!("refused: Image {}: the target has another object, with another uid,", digest("a")),
        format!("refused: Image {}: the target has another version of this name", digest("b")),
        "--overwrite".to_owned(),
        "2 objects were refused; all others are in the target".to_owned(),
    ] {
        assert!(said.err.contains(&named), "{named}: {said:?}");
    }
    assert!(said.out.contains("the target has 1 other objects"), "{said:?}");
    assert_eq!(export(&to), before);
    let said = transfer(text(&from), text(&to), &["--overwrite"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("0 objects stored, 2 replaced, "), "{said:?}");
    assert!(export(&to).starts_with(&exported), "the names of the source come first");
    check(&to);
}

#[test]
fn killed_transfer_goes_on_without_duplicates() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
    let exported = fill(&from, &lines(2500, 500));
    let (all, mut held, mut interrupted) = (exported.lines().count(), 0, 0);
    while interrupted < 2 {
        kill_once_growing(&from, &to);
        let before = std::mem::replace(&mut held, export(&to).lines().count());
        assert!(held < all, "the transfer ended after {interrupted} kills");
        // The file also grows before the first object, when it is made.
        interrupted += usize::from(held > before);
    }
    let said = transferred(text(&from), text(&to));
    let counts = format!("{} objects stored, 0 replaced, {held} equal already", all - held);
    assert!(said.out.starts_with(&counts), "{said:?}");
    assert_eq!(export(&to), exported);
    check(&to);
}

/// Starts a transfer and kills it once the data file of the target has grown.
fn kill_once_growing(from: &Path, to: &Path) {
    let file = to.join("store.redb");
    let before = size(&file);
    let mut child = command(&["transfer", "--from", text(from), "--to", text(to)])
        .spawn()
        .expect("the binary can be started");
    let begun = Instant::now();
    while size(&file) <= before && child.try_wait().expect("the child can be waited for").is_none()
    {
        assert!(begun.elapsed() < PATIENCE, "the transfer stores nothing");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("the child can be killed");
    child.wait().expect("the child can be waited for");
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |file| file.len())
}

#[test]
fn unusable_places_are_errors_with_a_way_out() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let [from, to, empty] = ["from", "to", "empty"].map(|name| folder.path().join(name));
    fill(&from, &lines(1, 1));
    fill(&empty, "");
    let missing = folder.path().join("missing");
    for (from, to, named) in [
        (text(&missing), text(&to), "there is no store in"),
        (text(&from), text(&from), "are the same place"),
        (text(&empty), text(&to), "has no objects: name another folder"),
        ("s3:bucket", text(&to), "a place is embedded:FOLDER"),
        ("kubeconfig:/missing", text(&to), "--from: cannot use /missing"),
    ] {
        let said = transfer(from, to, &[]);
        assert!(said.code != Some(0) && said.err.contains(named), "{named}: {said:?}");
    }
    let help = run(&["transfer", "--help"], "");
    assert!(help.out.contains("etcd:https://etcd-0:2379?prefix=/images&cafile=ca.crt"), "{help:?}");
}

#[test]
#[cfg(not(feature = "etcd"))]
fn etcd_needs_a_build_with_its_feature() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let said = transfer("etcd:http://127.0.0.1:1", text(folder.path()), &[]);
    assert!(said.err.contains("cargo build --release --features etcd"), "{said:?}");
}
