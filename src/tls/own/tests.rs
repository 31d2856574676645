//! The life of a CA and its pair in a folder, by a clock of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::folder::Folder;
use super::*;

const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const FILES: [&str; 4] = ["ca.crt", "ca.key", "apiserver.crt", "apiserver.key"];

fn day(count: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + count * 24 * 60 * 60).unwrap()
}

fn folder(directory: &Path, names: &[&str]) -> Folder {
    Folder::new(directory.to_owned(), names.iter().map(ToString::to_string).collect())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The content of a file in the folder.
fn file(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).unwrap()
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    certificates(pem.as_bytes()).unwrap()
}

fn bundle(kept: &Kept) -> Vec<CertificateDer<'static>> {
    certificates(kept.bundle.as_ref().unwrap()).unwrap()
}

/// Whether a client that holds this list accepts what is shown.
fn accepts(list: &[CertificateDer<'static>], kept: &Kept, now: Timestamp) -> bool {
    list.iter().any(|ca| make::is_signed_by(&kept.pair.key.cert[0], ca, now))
}

fn look(directory: &Path, now: Timestamp) -> Kept {
    folder(directory, &NAMES).look(now).unwrap()
}

fn fault(directory: &Path, now: Timestamp) -> String {
    folder(directory, &NAMES).look(now).err().unwrap().to_string()
}

/// A pair for localhost that is its own CA, marked as earlier versions did.
fn put_self_signed(directory: &Path, common_name: &str, ends: Timestamp) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    let ends = std::time::Duration::from_secs(ends.as_second().unsigned_abs());
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + ends;
    let certificate = params.self_signed(&key).unwrap();
    fs::write(directory.join("apiserver.crt"), certificate.pem()).unwrap();
    fs::write(directory.join("apiserver.key"), key.serialize_pem()).unwrap();
    certificate.der().clone()
}

#[test]
fn ca_and_pair_are_made_once_with_the_keys_closed_to_others() {
    let parent = tempfile::tempdir().unwrap();
    let certs = parent.path().join("new/certs");
    let first = look(&certs, day(0));
    let modes = FILES.map(|name| mode(&certs.join(name)));
    assert_eq!((mode(&certs), modes), (0o700, [0o644, 0o600, 0o644, 0o600]));
    let before = FILES.map(|name| file(&certs, name));
    let again = look(&certs, day(300));
    assert_eq!(FILES.map(|name| file(&certs, name)), before);
    assert_eq!((again.pair.ends, again.authority_ends), (day(365), Some(day(3650))));
    assert!(again.concern.is_none() && first.bundle == again.bundle);
    assert_eq!(chain(&before[2])[1..], chain(&before[0])[..], "the file of the pair holds its CA");
    assert_eq!(again.pair.key.cert.len(), 1, "clients are not sent what they must hold already");
    let names: Vec<_> = fs::read_dir(&certs).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), FILES.len(), "temporary files stay behind: {names:?}");
}

#[test]
fn a_pair_is_renewed_thirty_days_before_its_end_by_the_same_ca() {
    let certs = tempfile::tempdir().unwrap();
    let first = look(certs.path(), day(0));
    let second = look(certs.path(), day(336));
    assert_ne!(first.pair.key.cert, second.pair.key.cert);
    assert_eq!((second.pair.ends, &first.bundle), (day(336 + 365), &second.bundle));
    assert!(accepts(&bundle(&first), &second, day(337)));
}

#[test]
fn missing_names_reissue_the_pair_by_the_same_ca() {
    let certs = tempfile::tempdir().unwrap();
    let first = look(certs.path(), day(0));
    let service = ["images.registry.svc", "LOCALHOST"];
    let second = folder(certs.path(), &service).look(day(1)).unwrap();
    assert_ne!(first.pair.key.cert, second.pair.key.cert);
    assert_eq!(first.bundle, second.bundle);
    let third = folder(certs.path(), &service[..1]).look(day(1)).unwrap();
    assert_eq!(second.pair.key.cert, third.pair.key.cert);
}

#[test]
fn ca_rotation_refuses_no_client() {
    let certs = tempfile::tempdir().unwrap();
    let (mut now, mut list) = (0, bundle(&look(certs.path(), day(0))));
    let first = list.clone();
    // A client that reads the list once in six days, and a server that runs for twelve years.
    while now < 12 * 365 {
        for _ in 0..6 {
            now += 1;
            let kept = look(certs.path(), day(now));
            assert!(accepts(&list, &kept, day(now)), "refused on day {now}");
            assert!(kept.pair.ends <= kept.authority_ends.unwrap() && kept.concern.is_none());
            list = if now % 6 == 0 { bundle(&kept) } else { list };
        }
        assert!(list.len() <= 2);
    }
    assert_eq!((list.len(), list.contains(&first[0])), (1, false), "the first CA has ended and left the list");
}

#[test]
fn removed_ca_is_recreated_and_old_pair_served_a_week() {
    let certs = tempfile::tempdir().unwrap();
    let old = look(certs.path(), day(0));
    fs::remove_file(certs.path().join("ca.crt")).unwrap();
    fs::remove_file(certs.path().join("ca.key")).unwrap();
    let new = look(certs.path(), day(10));
    assert_eq!((bundle(&new).len(), &bundle(&new)[1]), (2, &bundle(&old)[0]));
    assert_eq!(new.pair.key.cert, old.pair.key.cert);
    assert!(accepts(&bundle(&old), &look(certs.path(), day(16)), day(16)));
    let later = look(certs.path(), day(18));
    assert!(!accepts(&bundle(&old), &later, day(18)) && accepts(&bundle(&new), &later, day(18)));
    assert_eq!(later.bundle, new.bundle);
}

#[test]
fn removing_everything_is_a_new_beginning_without_the_former_ca() {
    let certs = tempfile::tempdir().unwrap();
    let old = look(certs.path(), day(0));
    FILES.iter().for_each(|name| fs::remove_file(certs.path().join(name)).unwrap());
    let new = look(certs.path(), day(1));
    assert_eq!(bundle(&new).len(), 1);
    assert!(!bundle(&new).contains(&bundle(&old)[0]) && !accepts(&bundle(&old), &new, day(1)));
}

#[test]
fn unusable_ca_key_fails_only_after_the_pair_ends() {
    for (damage, expected) in [
        (None, "its key is missing"),
        (Some("rubbish".to_owned()), "its key cannot be used"),
        (Some(KeyPair::generate().unwrap().serialize_pem()), "its key belongs to none of the certificates"),
    ] {
        let certs = tempfile::tempdir().unwrap();
        let first = look(certs.path(), day(0));
        match damage {
            None => fs::remove_file(certs.path().join("ca.key")).unwrap(),
            Some(text) => fs::write(certs.path().join("ca.key"), text).unwrap(),
        }
        let kept = look(certs.path(), day(400));
        let concern = kept.concern.unwrap().to_string();
        assert!(concern.contains(expected) && concern.contains("ca.key (--cert-dir), or remove both"), "{concern}");
        assert_eq!((&kept.pair.key.cert, &kept.bundle), (&first.pair.key.cert, &first.bundle));
        fs::write(certs.path().join("apiserver.key"), "rubbish").unwrap();
        let before = FILES.map(|name| fs::read(certs.path().join(name)).ok());
        assert!(fault(certs.path(), day(400)).contains(expected));
        assert_eq!(FILES.map(|name| fs::read(certs.path().join(name)).ok()), before, "something was destroyed");
    }
}

#[test]
fn a_lone_or_damaged_list_of_cas_is_told_and_never_overwritten() {
    let certs = tempfile::tempdir().unwrap();
    look(certs.path(), day(0));
    fs::write(certs.path().join("ca.crt"), "-----BEGIN CERTIFICATE-----\nrubbish").unwrap();
    assert!(look(certs.path(), day(1)).concern.unwrap().to_string().contains("ca.crt (--cert-dir) cannot sign"));
    fs::remove_file(certs.path().join("ca.crt")).unwrap();
    let kept = look(certs.path(), day(1));
    assert!(kept.concern.unwrap().to_string().contains("its key has no certificate beside it"));
    assert!(certs.path().join("ca.key").exists() && !certs.path().join("ca.crt").exists());
}

#[test]
fn a_beginning_that_was_cut_short_is_finished() {
    let certs = tempfile::tempdir().unwrap();
    let whole = look(certs.path(), day(0));
    let (ca, key) = (file(certs.path(), "ca.crt"), file(certs.path(), "ca.key"));
    // The pair is put in place after the CA, and each certificate before its key.
    for (kept, trusted) in
        [(&["ca.crt"][..], 2), (&["ca.crt", "ca.key"], 1), (&["ca.crt", "ca.key", "apiserver.crt"], 1)]
    {
        fs::write(certs.path().join("ca.crt"), &ca).unwrap();
        fs::write(certs.path().join("ca.key"), &key).unwrap();
        for name in FILES.iter().filter(|name| !kept.contains(name)) {
            fs::remove_file(certs.path().join(name)).unwrap();
        }
        let again = look(certs.path(), day(0));
        assert_eq!(bundle(&again).len(), trusted);
        assert!(bundle(&again).contains(&bundle(&whole)[0]) && accepts(&bundle(&again), &again, day(0)));
    }
    // While a CA is replaced, the list comes first: the old key still signs, for clients of both.
    fs::write(certs.path().join("ca.crt"), make::authority(day(0)).unwrap().0 + &ca).unwrap();
    fs::write(certs.path().join("ca.key"), &key).unwrap();
    let again = look(certs.path(), day(1));
    assert!(again.concern.is_none() && accepts(&bundle(&whole), &again, day(1)));
}

#[test]
fn self_signed_pair_is_served_until_it_expires() {
    let certs = tempfile::tempdir().unwrap();
    let old = put_self_signed(certs.path(), "imagestream-apiserver@1790000000", day(365));
    let kept = look(certs.path(), day(1));
    assert_eq!(kept.pair.key.cert, std::slice::from_ref(&old));
    assert_eq!((bundle(&kept).len(), &bundle(&kept)[1]), (2, &old));
    assert_eq!(look(certs.path(), day(300)).pair.key.cert, std::slice::from_ref(&old));
    let renewed = look(certs.path(), day(336));
    assert!(!accepts(&[old], &renewed, day(336)) && accepts(&bundle(&kept), &renewed, day(336)));
    assert_eq!(bundle(&look(certs.path(), day(366))).len(), 1);
}

#[test]
fn a_pair_of_somebody_elses_is_left_alone_even_when_it_ended() {
    let certs = tempfile::tempdir().unwrap();
    let theirs = put_self_signed(certs.path(), "other", day(-1));
    let kept = look(certs.path(), day(1_000));
    assert_eq!((kept.pair.key.cert.clone(), kept.bundle.is_none()), (vec![theirs.clone()], true));
    assert!(!certs.path().join("ca.crt").exists());
    fs::write(certs.path().join("ca.crt"), encode(std::slice::from_ref(&theirs))).unwrap();
    assert_eq!(bundle(&look(certs.path(), day(1_000))), [theirs]);
    fs::remove_file(certs.path().join("apiserver.key")).unwrap();
    assert!(fault(certs.path(), day(0)).contains("apiserver.key (--cert-dir) cannot be read"));
}

#[test]
fn a_ca_of_somebody_elses_signs_but_is_not_replaced() {
    let certs = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(1_790_000_000 + 20 * 86_400);
    fs::write(certs.path().join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(certs.path().join("ca.key"), key.serialize_pem()).unwrap();
    let kept = look(certs.path(), day(0));
    assert_eq!((kept.pair.ends, bundle(&kept).len()), (day(20), 1));
    let concern = kept.concern.unwrap().to_string();
    assert!(concern.contains("was not made by this server and ends at 2026-10-11"), "{concern}");
    params.is_ca = IsCa::NoCa;
    fs::write(certs.path().join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    assert!(look(certs.path(), day(0)).concern.unwrap().to_string().contains("is not that of a CA"));
}

#[test]
fn half_a_pair_is_reissued_but_a_lone_key_is_kept() {
    let certs = tempfile::tempdir().unwrap();
    look(certs.path(), day(0));
    fs::remove_file(certs.path().join("apiserver.key")).unwrap();
    look(certs.path(), day(0));
    assert!(certs.path().join("apiserver.key").exists());
    fs::remove_file(certs.path().join("apiserver.crt")).unwrap();
    let error = fault(certs.path(), day(0));
    assert!(error.contains("apiserver.key (--cert-dir) has no certificate beside it"), "{error}");
}

#[test]
fn unreadable_key_is_an_error_not_a_reissue() {
    for name in ["apiserver.key", "ca.key"] {
        let certs = tempfile::tempdir().unwrap();
        look(certs.path(), day(0));
        let first = file(certs.path(), "apiserver.crt");
        fs::remove_file(certs.path().join(name)).unwrap();
        fs::create_dir(certs.path().join(name)).unwrap();
        let error = fault(certs.path(), day(0));
        assert!(error.contains(&format!("{name} (--cert-dir) cannot be read")), "{error}");
        assert_eq!(file(certs.path(), "apiserver.crt"), first);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named_with_its_flag() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("file"), "").unwrap();
    let error = fault(&parent.path().join("file/certs"), day(0));
    assert!(error.contains("file/certs") && error.contains("(--cert-dir)"), "{error}");
}

#[test]
fn what_clients_are_given_is_certificates_and_nothing_else() {
    let certs = tempfile::tempdir().unwrap();
    look(certs.path(), day(0));
    let (list, key) = (file(certs.path(), "ca.crt"), file(certs.path(), "ca.key"));
    fs::write(certs.path().join("ca.crt"), format!("a comment\n{key}{list}")).unwrap();
    let kept = look(certs.path(), day(0));
    assert_eq!(kept.bundle.unwrap(), list.as_bytes());
}
