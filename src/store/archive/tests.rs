//! Backups that are whole, and all that are not.

use sha2::{Digest, Sha256};

use super::*;

const REVISION: Revision = Revision(7 << 20);

fn head() -> ArchiveHead {
    ArchiveHead { revision: REVISION, taken: UNIX_EPOCH + Duration::from_secs(1_800_000_000) }
}

fn written(keys: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArchiveWriter::begin(&mut bytes, head()).unwrap();
    for (sub, key) in (0..).zip(keys) {
        let entry = Entry { key: Key::new(*key), value: key.repeat(3).into(), revision: REVISION };
        writer.entry(&entry, sub, None).unwrap();
    }
    writer.finish(REVISION, &[]).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<(Vec<Entry>, ArchiveSummary), ArchiveError> {
    let mut reader = ArchiveReader::begin(bytes)?;
    let entries = reader.by_ref().collect::<Result<_, _>>()?;
    Ok((entries, reader.summary().expect("it was read to its end")))
}

#[test]
fn what_was_written_is_read() {
    let bytes = written(&["/a", "/b"]);
    let (entries, summary) = read(&bytes).unwrap();
    let entry =
        |key: &str| Entry { key: Key::new(key), value: key.repeat(3).into(), revision: REVISION };
    assert_eq!(entries, [entry("/a"), entry("/b")]);
    assert_eq!(
        summary,
        ArchiveSummary { revision: REVISION, entries: 2, bytes: bytes.len() as u64, missing: 0 }
    );
    assert_eq!(ArchiveReader::begin(&*bytes).unwrap().head(), head());
}

#[test]
fn accounts_are_written_and_read() {
    let entry = Entry { key: Key::new("/a"), value: "1".into(), revision: REVISION };
    let other = Entry { key: Key::new("/b"), ..entry.clone() };
    let mut bytes = Vec::new();
    let mut writer = ArchiveWriter::begin(&mut bytes, head()).unwrap();
    writer.entry(&entry, 0, Some(&Account::new("team"))).unwrap();
    writer.entry(&other, 1, None).unwrap();
    writer.finish(REVISION, &[]).unwrap();
    let mut reader = ArchiveReader::begin(&*bytes).unwrap();
    let mut next = || reader.next_entry().unwrap().unwrap();
    let (first, second) = (next(), next());
    assert_eq!((first.entry, first.account), (entry, Some(Account::new("team"))));
    assert_eq!((second.entry, second.sub, second.account), (other, 1, None));
}

#[test]
fn backups_from_before_accounts_are_read() {
    let mut bytes = written(&["/a"]);
    bytes[11] = 1;
    let content = bytes.len() - 32;
    let sum = Sha256::digest(&bytes[..content]);
    bytes[content..].copy_from_slice(&sum);
    assert_eq!(read(&bytes).unwrap().0.len(), 1);
}

#[test]
fn there_is_no_summary_before_the_end() {
    let bytes = written(&["/a"]);
    let mut reader = ArchiveReader::begin(&*bytes).unwrap();
    reader.next().unwrap().unwrap();
    assert_eq!(reader.summary(), None);
    assert!(reader.next().is_none() && reader.summary().is_some());
}

#[test]
fn a_backup_that_is_cut_off_anywhere_is_told_from_a_whole_one() {
    let bytes = written(&["/a", "/b"]);
    for length in 0..bytes.len() {
        let error = read(&bytes[..length]).unwrap_err();
        match error {
            ArchiveError::CutOff { bytes } => {
                assert!(bytes <= length as u64, "{bytes} of {length}")
            }
            other => panic!("{length}: {other}"),
        }
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let bytes = written(&["/a", "/b"]);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn what_follows_after_the_end_is_refused() {
    let twice = [written(&["/a"]), written(&["/a"])].concat();
    assert!(read(&twice).unwrap_err().to_string().contains("follows"));
}

#[test]
fn keys_out_of_order_are_refused() {
    for keys in [["/b", "/a"], ["/a", "/a"]] {
        assert!(read(&written(&keys)).unwrap_err().to_string().contains("out of order"));
    }
}

#[test]
fn a_failure_tells_its_reason() {
    let mut bytes = Vec::new();
    ArchiveWriter::begin(&mut bytes, head()).unwrap().fail("the disk is gone").unwrap();
    match read(&bytes) {
        Err(ArchiveError::Unfinished { reason }) => assert_eq!(reason, "the disk is gone"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_files_and_newer_forms_are_told_apart() {
    assert!(matches!(read(b"{\"kind\":\"List\"}"), Err(ArchiveError::Foreign)));
    let mut bytes = written(&[]);
    bytes[11] = 9;
    assert!(matches!(read(&bytes), Err(ArchiveError::Newer { found: 9 })));
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(tail: Vec<u8>, keep in 0_usize..80) {
        let start = written(&["/a"]);
        let bytes = [&start[..keep.min(start.len())], &tail].concat();
        let _ = read(&bytes).is_ok();
    }
}

#[test]
fn gaps_are_rejected_unless_they_are_skipped() {
    let mut bytes = Vec::new();
    let mut writer = ArchiveWriter::begin(&mut bytes, head()).unwrap();
    let entry = Entry { key: Key::new("/a"), value: "a".into(), revision: REVISION };
    writer.entry(&entry, 0, None).unwrap();
    let missing = [MissingEntry { key: Key::new("/b"), revision: Revision(7) }];
    let summary = writer.finish(REVISION, &missing).unwrap();
    assert_eq!((summary.entries, summary.missing), (1, 1));
    let error = read(&bytes).unwrap_err();
    assert!(error.to_string().contains("the value of /b written by revision 7 is damaged"));
    let mut reader = ArchiveReader::begin(&*bytes).unwrap().skipping_damaged();
    assert_eq!(reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), [entry]);
    assert_eq!((reader.missing(), reader.summary()), (&missing[..], Some(summary)));
    // A damaged list of gaps is no list.
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    let mut reader = ArchiveReader::begin(&*bytes).unwrap().skipping_damaged();
    assert!(matches!(reader.find_map(Result::err), Some(ArchiveError::Damaged { .. })));
}
