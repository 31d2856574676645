//! Tests of the lifecycle of a CA and its pair in a folder, with a simulated clock.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::folder::CertificateFolder;
use super::*;

const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const FILES: [&str; 4] = ["ca.crt", "ca.key", "apiserver.crt", "apiserver.key"];

fn day(count: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + count * 24 * 60 * 60).unwrap()
}

fn folder(directory: &Path, names: &[&str]) -> CertificateFolder {
    CertificateFolder::new(directory.to_owned(), names.iter().map(ToString::to_string).collect())
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

fn bundle(loaded: &LoadedCertificate) -> Vec<CertificateDer<'static>> {
    certificates(loaded.bundle.as_ref().unwrap()).unwrap()
}

/// Returns true if a client with this list accepts the loaded certificate.
fn accepts(list: &[CertificateDer<'static>], loaded: &LoadedCertificate, now: Timestamp) -> bool {
    list.iter().any(|ca| issue::is_signed_by(&loaded.pair.key.cert[0], ca, now))
}

fn load(directory: &Path, now: Timestamp) -> LoadedCertificate {
    folder(directory, &NAMES).load(now).unwrap()
}

fn load_error(directory: &Path, now: Timestamp) -> String {
    folder(directory, &NAMES).load(now).err().unwrap().to_string()
}

/// Writes a self-signed pair for localhost with this common name.
fn put_self_signed(
    directory: &Path,
    common_name: &str,
    expires: Timestamp,
) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(NAMES.map(str::to_owned)).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    let expires = std::time::Duration::from_secs(expires.as_second().unsigned_abs());
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + expires;
    let certificate = params.self_signed(&key).unwrap();
    fs::write(directory.join("apiserver.crt"), certificate.pem()).unwrap();
    fs::write(directory.join("apiserver.key"), key.serialize_pem()).unwrap();
    certificate.der().clone()
}

#[test]
fn ca_and_pair_are_created_once_with_private_keys() {
    let parent = tempfile::tempdir().unwrap();
    let certs = parent.path().join("new/certs");
    let first = load(&certs, day(0));
    let modes = FILES.map(|name| mode(&certs.join(name)));
    assert_eq!((mode(&certs), modes), (0o700, [0o644, 0o600, 0o644, 0o600]));
    let before = FILES.map(|name| file(&certs, name));
    let again = load(&certs, day(300));
    assert_eq!(FILES.map(|name| file(&certs, name)), before);
    assert_eq!((again.pair.expires, again.ca_expires), (day(365), Some(day(3650))));
    assert!(again.warning.is_none() && first.bundle == again.bundle);
    assert_eq!(
        chain(&before[2])[1..],
        chain(&before[0])[..],
        "the file of the pair contains its CA"
    );
    assert_eq!(again.pair.key.cert.len(), 1, "handshakes omit the CA, which clients have");
    let names: Vec<_> =
        fs::read_dir(&certs).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), FILES.len(), "temporary files remain: {names:?}");
}

#[test]
fn a_pair_is_renewed_thirty_days_before_its_end_by_the_same_ca() {
    let certs = tempfile::tempdir().unwrap();
    let first = load(certs.path(), day(0));
    let second = load(certs.path(), day(336));
    assert_ne!(first.pair.key.cert, second.pair.key.cert);
    assert_eq!((second.pair.expires, &first.bundle), (day(336 + 365), &second.bundle));
    assert!(accepts(&bundle(&first), &second, day(337)));
}

#[test]
fn missing_names_reissue_the_pair_by_the_same_ca() {
    let certs = tempfile::tempdir().unwrap();
    let first = load(certs.path(), day(0));
    let service = ["images.registry.svc", "LOCALHOST"];
    let second = folder(certs.path(), &service).load(day(1)).unwrap();
    assert_ne!(first.pair.key.cert, second.pair.key.cert);
    assert_eq!(first.bundle, second.bundle);
    let third = folder(certs.path(), &service[..1]).load(day(1)).unwrap();
    assert_eq!(second.pair.key.cert, third.pair.key.cert);
}

#[test]
fn ca_rotation_refuses_no_client() {
    let certs = tempfile::tempdir().unwrap();
    let (mut now, mut list) = (0, bundle(&load(certs.path(), day(0))));
    let first = list.clone();
    // A client that reloads the list every six days, and a server that runs for twelve years.
    while now < 12 * 365 {
        for _ in 0..6 {
            now += 1;
            let loaded = load(certs.path(), day(now));
            assert!(accepts(&list, &loaded, day(now)), "refused on day {now}");
            assert!(loaded.pair.expires <= loaded.ca_expires.unwrap() && loaded.warning.is_none());
            list = if now % 6 == 0 { bundle(&loaded) } else { list };
        }
        assert!(list.len() <= 2);
    }
    assert_eq!(
        (list.len(), list.contains(&first[0])),
        (1, false),
        "the first CA has expired and left the list"
    );
}

#[test]
fn removed_ca_is_recreated_and_old_pair_served_a_week() {
    let certs = tempfile::tempdir().unwrap();
    let old = load(certs.path(), day(0));
    fs::remove_file(certs.path().join("ca.crt")).unwrap();
    fs::remove_file(certs.path().join("ca.key")).unwrap();
    let new = load(certs.path(), day(10));
    assert_eq!((bundle(&new).len(), &bundle(&new)[1]), (2, &bundle(&old)[0]));
    assert_eq!(new.pair.key.cert, old.pair.key.cert);
    assert!(accepts(&bundle(&old), &load(certs.path(), day(16)), day(16)));
    let later = load(certs.path(), day(18));
    assert!(!accepts(&bundle(&old), &later, day(18)) && accepts(&bundle(&new), &later, day(18)));
    assert_eq!(later.bundle, new.bundle);
}

#[test]
fn removing_all_files_drops_the_former_ca() {
    let certs = tempfile::tempdir().unwrap();
    let old = load(certs.path(), day(0));
    FILES.iter().for_each(|name| fs::remove_file(certs.path().join(name)).unwrap());
    let new = load(certs.path(), day(1));
    assert_eq!(bundle(&new).len(), 1);
    assert!(!bundle(&new).contains(&bundle(&old)[0]) && !accepts(&bundle(&old), &new, day(1)));
}

#[test]
fn unusable_ca_key_fails_only_after_the_pair_ends() {
    for (damage, expected) in [
        (None, "its key is missing"),
        (Some("rubbish".to_owned()), "its key cannot be used"),
        (
            Some(KeyPair::generate().unwrap().serialize_pem()),
            "its key belongs to none of its certificates",
        ),
    ] {
        let certs = tempfile::tempdir().unwrap();
        let first = load(certs.path(), day(0));
        match damage {
            None => fs::remove_file(certs.path().join("ca.key")).unwrap(),
            Some(text) => fs::write(certs.path().join("ca.key"), text).unwrap(),
        }
        let loaded = load(certs.path(), day(400));
        let warning = loaded.warning.unwrap().to_string();
        assert!(
            warning.contains(expected) && warning.contains("ca.key (--cert-dir), or remove both"),
            "{warning}"
        );
        assert_eq!((&loaded.pair.key.cert, &loaded.bundle), (&first.pair.key.cert, &first.bundle));
        fs::write(certs.path().join("apiserver.key"), "rubbish").unwrap();
        let before = FILES.map(|name| fs::read(certs.path().join(name)).ok());
        assert!(load_error(certs.path(), day(400)).contains(expected));
        assert_eq!(
            FILES.map(|name| fs::read(certs.path().join(name)).ok()),
            before,
            "no file changes"
        );
    }
}

#[test]
fn a_lone_or_damaged_ca_is_reported_and_kept() {
    let certs = tempfile::tempdir().unwrap();
    load(certs.path(), day(0));
    fs::write(certs.path().join("ca.crt"), "-----BEGIN CERTIFICATE-----\nrubbish").unwrap();
    assert!(
        load(certs.path(), day(1))
            .warning
            .unwrap()
            .to_string()
            .contains("ca.crt (--cert-dir) cannot sign")
    );
    fs::remove_file(certs.path().join("ca.crt")).unwrap();
    let loaded = load(certs.path(), day(1));
    assert!(loaded.warning.unwrap().to_string().contains("its key has no certificate beside it"));
    assert!(certs.path().join("ca.key").exists() && !certs.path().join("ca.crt").exists());
}

#[test]
fn an_interrupted_creation_is_completed() {
    let certs = tempfile::tempdir().unwrap();
    let whole = load(certs.path(), day(0));
    let (ca, key) = (file(certs.path(), "ca.crt"), file(certs.path(), "ca.key"));
    // The pair is written after the CA, and each certificate before its key.
    for (kept, trusted) in [
        (&["ca.crt"][..], 2),
        (&["ca.crt", "ca.key"], 1),
        (&["ca.crt", "ca.key", "apiserver.crt"], 1),
    ] {
        fs::write(certs.path().join("ca.crt"), &ca).unwrap();
        fs::write(certs.path().join("ca.key"), &key).unwrap();
        for name in FILES.iter().filter(|name| !kept.contains(name)) {
            fs::remove_file(certs.path().join(name)).unwrap();
        }
        let again = load(certs.path(), day(0));
        assert_eq!(bundle(&again).len(), trusted);
        assert!(
            bundle(&again).contains(&bundle(&whole)[0]) && accepts(&bundle(&again), &again, day(0))
        );
    }
    // The list is replaced before the key: the old key still signs, for clients of both CAs.
    fs::write(certs.path().join("ca.crt"), issue::ca(day(0)).unwrap().0 + &ca).unwrap();
    fs::write(certs.path().join("ca.key"), &key).unwrap();
    let again = load(certs.path(), day(1));
    assert!(again.warning.is_none() && accepts(&bundle(&whole), &again, day(1)));
}

#[test]
fn self_signed_pair_is_served_until_it_expires() {
    let certs = tempfile::tempdir().unwrap();
    let old = put_self_signed(certs.path(), "imagestream-apiserver@1790000000", day(365));
    let loaded = load(certs.path(), day(1));
    assert_eq!(loaded.pair.key.cert, std::slice::from_ref(&old));
    assert_eq!((bundle(&loaded).len(), &bundle(&loaded)[1]), (2, &old));
    assert_eq!(load(certs.path(), day(300)).pair.key.cert, std::slice::from_ref(&old));
    let renewed = load(certs.path(), day(336));
    assert!(!accepts(&[old], &renewed, day(336)) && accepts(&bundle(&loaded), &renewed, day(336)));
    assert_eq!(bundle(&load(certs.path(), day(366))).len(), 1);
}

#[test]
fn an_expired_pair_of_other_origin_is_kept() {
    let certs = tempfile::tempdir().unwrap();
    let theirs = put_self_signed(certs.path(), "other", day(-1));
    let loaded = load(certs.path(), day(1_000));
    assert_eq!(
        (loaded.pair.key.cert.clone(), loaded.bundle.is_none()),
        (vec![theirs.clone()], true)
    );
    assert!(!certs.path().join("ca.crt").exists());
    fs::write(certs.path().join("ca.crt"), encode(std::slice::from_ref(&theirs))).unwrap();
    assert_eq!(bundle(&load(certs.path(), day(1_000))), [theirs]);
    fs::remove_file(certs.path().join("apiserver.key")).unwrap();
    assert!(load_error(certs.path(), day(0)).contains("apiserver.key (--cert-dir) cannot be read"));
}

#[test]
fn a_ca_of_other_origin_signs_but_is_not_replaced() {
    let certs = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1)
        + std::time::Duration::from_secs(1_790_000_000 + 20 * 86_400);
    fs::write(certs.path().join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(certs.path().join("ca.key"), key.serialize_pem()).unwrap();
    let loaded = load(certs.path(), day(0));
    assert_eq!((loaded.pair.expires, bundle(&loaded).len()), (day(20), 1));
    let warning = loaded.warning.unwrap().to_string();
    assert!(
        warning.contains("was not created by this server and expires at 2026-10-11"),
        "{warning}"
    );
    params.is_ca = IsCa::NoCa;
    fs::write(certs.path().join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    assert!(
        load(certs.path(), day(0)).warning.unwrap().to_string().contains("is not that of a CA")
    );
}

#[test]
fn half_a_pair_is_reissued_but_a_lone_key_is_kept() {
    let certs = tempfile::tempdir().unwrap();
    load(certs.path(), day(0));
    fs::remove_file(certs.path().join("apiserver.key")).unwrap();
    load(certs.path(), day(0));
    assert!(certs.path().join("apiserver.key").exists());
    fs::remove_file(certs.path().join("apiserver.crt")).unwrap();
    let error = load_error(certs.path(), day(0));
    assert!(error.contains("apiserver.key (--cert-dir) has no certificate beside it"), "{error}");
}

#[test]
fn unreadable_key_is_an_error_not_a_reissue() {
    for name in ["apiserver.key", "ca.key"] {
        let certs = tempfile::tempdir().unwrap();
        load(certs.path(), day(0));
        let first = file(certs.path(), "apiserver.crt");
        fs::remove_file(certs.path().join(name)).unwrap();
        fs::create_dir(certs.path().join(name)).unwrap();
        let error = load_error(certs.path(), day(0));
        assert!(error.contains(&format!("{name} (--cert-dir) cannot be read")), "{error}");
        assert_eq!(file(certs.path(), "apiserver.crt"), first);
    }
}

#[test]
fn a_folder_that_cannot_be_created_is_named() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("file"), "").unwrap();
    let error = load_error(&parent.path().join("file/certs"), day(0));
    assert!(error.contains("file/certs") && error.contains("(--cert-dir)"), "{error}");
}

#[test]
fn the_bundle_contains_only_certificates() {
    let certs = tempfile::tempdir().unwrap();
    load(certs.path(), day(0));
    let (list, key) = (file(certs.path(), "ca.crt"), file(certs.path(), "ca.key"));
    fs::write(certs.path().join("ca.crt"), format!("a comment\n{key}{list}")).unwrap();
    let loaded = load(certs.path(), day(0));
    assert_eq!(loaded.bundle.unwrap(), list.as_bytes());
}
