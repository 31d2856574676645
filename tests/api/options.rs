//! Invalid flags: the server does not start, and the error names the flag.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitStatus;

use tempfile::TempDir;

use crate::child::{Output, Running};
use crate::harness::{EMBEDDED, TestServer};
use crate::in_process::Server;
use crate::support::process::ServerProcess;

/// A folder with a valid token file and several invalid files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a folder can be created"));
        files.write("tokens.csv", "secret-token,admin,1\n");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("the file can be written");
    }

    /// Formats `flag=path` for a file in the folder.
    fn flag(&self, flag: &str, name: &str) -> String {
        format!("{flag}={}", self.path(name).display())
    }

    /// Returns valid flags, whose files are in the folder.
    fn good(&self) -> Vec<String> {
        vec![
            "--authorization-mode=AlwaysAllow".into(),
            self.flag("--token-auth-file", "tokens.csv"),
            "--bind-address=127.0.0.1".into(),
            "--secure-port=0".into(),
            self.flag("--data-dir", "data"),
            self.flag("--cert-dir", "certs"),
        ]
    }

    /// Returns the valid flags, with those of the same name replaced by `flags`.
    fn good_but(&self, flags: &[String]) -> Vec<String> {
        let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
        let mut all = self.good();
        all.retain(|each| flags.iter().all(|flag| name(flag) != name(each)));
        all.extend(flags.iter().cloned());
        all
    }
}

/// Runs the binary until it exits. Returns exit status and log.
async fn run(command: &str, flags: &[String]) -> (ExitStatus, String) {
    let arguments = std::iter::once(command).chain(flags.iter().map(String::as_str));
    Running::start(arguments, Output::Logged).end().await
}

/// Runs `serve` with flags that it must reject with an error that names `flag`.
async fn refuses(flags: &[String], flag: &str) {
    let (status, text) = run("serve", flags).await;
    assert!(status.code().is_some_and(|code| code != 0), "{flags:?} ends with {status}");
    assert!(text.contains(flag), "{flags:?} are rejected without naming {flag}:\n{text}");
    assert!(!text.contains("secret-token") && !text.contains("panicked"), "{text}");
}

#[tokio::test]
async fn the_flags_that_the_others_differ_from_are_good() {
    // The server starts with flags like those that the other tests change.
    let server = ServerProcess::start(&[
        "--request-timeout=1m30s",
        "-v",
        "3",
        "--tls-min-version=VersionTLS13",
    ])
    .await;
    assert_ne!(server.address().port(), 0);
}

#[tokio::test]
async fn nobody_decides_who_may_do_what_by_default() {
    // The authorization mode must be set explicitly.
    let files = Files::new();
    let mut flags = files.good();
    flags.remove(0);
    refuses(&flags, "--authorization-mode is not set").await;
    refuses(
        &files.good_but(&["--authorization-mode=Webhook".into()]),
        "--authorization-mode=Webhook",
    )
    .await;
    refuses(&files.good_but(&["--authorization-mode=RBAC".into()]), "--authorization-mode").await;
    refuses(&files.good_but(&["--anonymous-auth=true".into()]), "--anonymous-auth").await;
    refuses(&files.good_but(&["--anonymous-auth=maybe".into()]), "--anonymous-auth").await;
}

#[tokio::test]
async fn somebody_must_be_able_to_prove_who_they_are() {
    // The server needs at least one valid authentication source.
    let files = Files::new();
    let mut flags = files.good();
    flags.remove(1);
    refuses(&flags, "--token-auth-file").await;
    refuses(&files.good_but(&[files.flag("--token-auth-file", "missing")]), "--token-auth-file")
        .await;
    refuses(&files.good_but(&[files.flag("--client-ca-file", "missing")]), "--client-ca-file")
        .await;
    for content in [
        "",
        "\n# nothing\n",
        "secret-token,admin\n",
        "secret-token,,1\n",
        "secret-token,a,1\nsecret-token,b,2\n",
    ] {
        files.write("broken", content);
        refuses(&files.good_but(&[files.flag("--token-auth-file", "broken")]), "--token-auth-file")
            .await;
    }
    for content in
        ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        files.write("broken", content);
        refuses(&files.good_but(&[files.flag("--client-ca-file", "broken")]), "--client-ca-file")
            .await;
    }
}

#[tokio::test]
async fn a_certificate_and_its_key_belong_together() {
    let files = Files::new();
    let pair = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .expect("a certificate can be created");
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let ((certificate, key), (_, other)) = (pair(), pair());
    for (name, content) in
        [("crt", certificate.as_str()), ("key", &key), ("other", &other), ("broken", "nothing")]
    {
        files.write(name, content);
    }
    let cert = |name: &str| files.flag("--tls-cert-file", name);
    let key = |name: &str| files.flag("--tls-private-key-file", name);
    refuses(&files.good_but(&[cert("crt")]), "--tls-private-key-file").await;
    refuses(&files.good_but(&[key("key")]), "--tls-cert-file").await;
    refuses(&files.good_but(&[cert("missing"), key("key")]), "--tls-cert-file").await;
    refuses(&files.good_but(&[cert("crt"), key("missing")]), "--tls-private-key-file").await;
    refuses(&files.good_but(&[cert("broken"), key("key")]), "--tls-cert-file").await;
    refuses(&files.good_but(&[cert("crt"), key("broken")]), "--tls-private-key-file").await;
    refuses(&files.good_but(&[cert("crt"), key("other")]), "--tls-private-key-file").await;
    refuses(&files.good_but(&[files.flag("--cert-dir", "broken")]), "--cert-dir").await;
    refuses(&files.good_but(&["--tls-min-version=VersionTLS11".into()]), "--tls-min-version").await;
}

#[tokio::test]
async fn a_port_must_be_free() {
    let files = Files::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("the listener has an address").port();
    refuses(&files.good_but(&[format!("--secure-port={port}")]), "--secure-port").await;
    refuses(&files.good_but(&["--secure-port=70000".into()]), "--secure-port").await;
    refuses(&files.good_but(&["--bind-address=somewhere".into()]), "--bind-address").await;
    refuses(&files.good_but(&["--bind-address=192.0.2.1".into()]), "--bind-address").await;
    let quickstart = [files.flag("--data-dir", "quick"), format!("--secure-port={port}")];
    let (status, text) = run("quickstart", &quickstart).await;
    assert!(!status.success() && text.contains("--secure-port"), "{status}: {text}");
}

#[tokio::test]
async fn a_data_folder_must_be_usable_and_free() {
    let files = Files::new();
    files.write("file", "");
    refuses(&files.good_but(&[files.flag("--data-dir", "file")]), "--data-dir").await;
    let running = Server::start(&[EMBEDDED]).await;
    let taken = format!("--data-dir={}", running.folder().join("data").display());
    let flags = files.good_but(&[taken, "--data-dir-lock-timeout=100ms".into()]);
    refuses(&flags, "--data-dir-lock-timeout").await;
}

#[tokio::test]
async fn numbers_durations_and_hosts_have_a_form() {
    let files = Files::new();
    let durations = ["--request-timeout", "--shutdown-delay-duration", "--data-dir-lock-timeout"];
    let counts = ["--max-requests-inflight", "--max-mutating-requests-inflight", "--max-watches"];
    let hosts = ["--internal-registry-hostname", "--external-registry-hostname"];
    let mut cases: Vec<(&str, &str)> = Vec::new();
    cases.extend(
        durations.iter().flat_map(|flag| ["soon", "-1s", "", "5"].map(|value| (*flag, value))),
    );
    cases
        .extend(counts.iter().flat_map(|flag| ["0", "-1", "many", ""].map(|value| (*flag, value))));
    cases.extend(
        hosts
            .iter()
            .flat_map(|flag| ["https://a.b", "a.b/c", "a b", ""].map(|value| (*flag, value))),
    );
    cases.extend([
        ("--request-timeout", "0s"),
        ("--compaction-retention", "0s"),
        ("--logging-format", "xml"),
        ("--v", "loud"),
    ]);
    for (flag, value) in cases {
        refuses(&files.good_but(&[format!("{flag}={value}")]), flag).await;
    }
}

#[tokio::test]
async fn an_audit_log_needs_a_place() {
    let files = Files::new();
    refuses(
        &files.good_but(&[files.flag("--audit-log-path", "missing/audit.log")]),
        "--audit-log-path",
    )
    .await;
    refuses(&files.good_but(&["--audit-log-maxsize=-1".into()]), "--audit-log-maxsize").await;
}
