//! `check` without a cluster: its report on flags, certificate and store, and its exit code.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitStatus;

use crate::child::{Output, Running};
use crate::harness::{EMBEDDED, TestServer};
use crate::in_process::Server;

/// Runs `check` for the folder of a server. Returns exit status and output.
async fn check(folder: &Path, more: &[&str]) -> (ExitStatus, String) {
    let at = |flag: &str, name: &str| format!("{flag}={}", folder.join(name).display());
    let mut arguments = vec!["check".to_owned(), "--authorization-mode=AlwaysAllow".into()];
    arguments.extend([
        at("--token-auth-file", "tokens.csv"),
        at("--data-dir", "data"),
        at("--cert-dir", "certs"),
    ]);
    arguments.extend(more.iter().map(|&flag| flag.to_owned()));
    Running::start(arguments, Output::Printed).end().await
}

#[tokio::test]
async fn all_is_well_beside_a_running_server_and_after_it() {
    let mut server = Server::start(&[EMBEDDED]).await;
    let (status, text) = check(&server.folder(), &[]).await;
    assert!(status.success(), "{text}");
    assert!(
        text.contains("ok    store: ") && text.contains("is in use: a server is running on it"),
        "{text}"
    );
    assert!(text.contains("ok    serving certificate: it is issued for localhost"), "{text}");
    server.stop().await;
    let (status, text) = check(&server.folder(), &[]).await;
    assert!(status.success() && text.contains("can be opened and read"), "{text}");
}

#[tokio::test]
async fn a_folder_that_others_can_enter_is_told_of() {
    const TOLD: &str = "other users can enter the data folder: chmod it to 700";
    let mut server = Server::start(&[EMBEDDED]).await;
    server.stop().await;
    assert!(!server.log().iter().any(|line| line.contains(TOLD)), "{:?}", server.log());
    let (_, text) = check(&server.folder(), &[]).await;
    assert!(!text.contains("other users"), "{text}");
    fs::set_permissions(server.folder().join("data"), Permissions::from_mode(0o711))
        .expect("the mode can be changed");
    server.restart().await;
    assert_eq!(
        server.log().iter().filter(|line| line.contains(TOLD)).count(),
        1,
        "{:?}",
        server.log()
    );
    let (status, text) = check(&server.folder(), &[]).await;
    assert!(status.success() && text.contains("note  store: other users can access "), "{text}");
    assert!(text.contains("(mode 711)\n      -> set the mode to 700"), "{text}");
}

#[tokio::test]
async fn nothing_is_made_by_looking() {
    // `check` creates no files.
    let folder = tempfile::tempdir().expect("a folder can be created");
    fs::write(folder.path().join("tokens.csv"), "secret,admin,1\n")
        .expect("the file can be written");
    let (status, text) = check(folder.path(), &[]).await;
    assert!(status.success(), "{text}");
    assert_eq!(text.matches("the server creates").count(), 2, "{text}");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder exists").count(), 1);
}

#[tokio::test]
async fn whatever_is_wrong_is_told_and_ends_with_1() {
    // Every failed check is reported, and the exit code is 1.
    let mut server = Server::start(&[EMBEDDED]).await;
    server.stop().await;
    let folder = server.folder();
    fs::write(folder.join("data/store.redb"), "").expect("the store can be damaged");
    let pair = ["apiserver.crt", "apiserver.key"]
        .map(|name| folder.join("certs").join(name).display().to_string());
    let files =
        [format!("--tls-cert-file={}", pair[0]), format!("--tls-private-key-file={}", pair[1])];
    let service = ["--service-name=images", "--service-namespace=registry", &files[0], &files[1]];
    let (status, text) = check(&folder, &service).await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(
        text.contains("and not for images.registry.svc\n      -> issue one with that"),
        "{text}"
    );
    assert!(text.contains("WRONG store: ") && text.contains("is an empty file"), "{text}");
    let (status, text) = check(&folder, &["--anonymous-auth=true"]).await;
    assert_eq!(status.code(), Some(1));
    assert!(text.contains("WRONG flags: --anonymous-auth=true"), "{text}");
    let missing = folder.join("missing/kubeconfig").display().to_string();
    for (flag, told) in [
        ("--write-kubeconfig", "--write-kubeconfig: there is no folder"),
        ("--kubeconfig", "--kubeconfig: cannot use"),
    ] {
        let (_, text) = check(&folder, &[&format!("{flag}={missing}")]).await;
        let mut lines = text.lines().skip_while(|line| !line.contains(told));
        assert!(lines.next().is_some_and(|line| line.starts_with("WRONG flags: ")), "{text}");
        assert!(lines.next().is_some_and(|line| line.contains("-> ")), "{text}");
    }
}
