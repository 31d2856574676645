//! `serve`: flags from a file and the environment, and the kubeconfig that it writes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::child::{self, Running};
use crate::support::client::{Client, Identity, Request};

/// Runs a command that fails at once.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("the command can be started");
    (status.success(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn the_last_of_two_values_wins() {
    let port = ["serve", "--secure-port=1", "--secure-port=none"];
    let (_, text) = run(&port, &[]);
    assert!(text.contains("'none' for '--secure-port"), "{text}");
    // The flags are read; only the mode is missing.
    let (is_ok, text) = run(&["serve", "--secure-port=none", "--secure-port=0"], &[]);
    assert!(text.contains("'none'"), "every value is checked: {text}");
    let (_, text) = run(&["serve", "--secure-port=1", "--secure-port=0"], &[]);
    assert!(!is_ok && text.contains("--authorization-mode is not set"), "{text}");
}

#[test]
fn flags_come_from_the_file_and_the_environment() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let path = folder.path().join("flags.yaml");
    fs::write(&path, "authorization-mode: AlwaysAllow\nsecure-port: 0\n").unwrap();
    let config = format!("--config={}", path.display());
    let (_, text) = run(&["serve", &config], &[]);
    assert!(text.contains("no authentication method: set --token-auth-file"), "{text}");
    let variable = ("IMAGESTREAM_APISERVER_FLAG_AUTHORIZATION_MODE", "Webhook");
    let (_, text) = run(&["serve", &config], &[variable]);
    assert!(text.contains("--authorization-mode=Webhook needs a cluster"), "{text}");
    fs::write(&path, "authorisation-mode: AlwaysAllow\n").unwrap();
    let (is_ok, text) = run(&["serve", &config], &[]);
    assert!(!is_ok && text.contains("there is no flag --authorisation-mode"), "{text}");
}

/// Starts a server that writes a kubeconfig, and returns it with the kubeconfig.
async fn with_kubeconfig(folder: &Path) -> (Running, Value) {
    let path = folder.join("kubeconfig");
    let tokens = folder.join("tokens.csv");
    fs::write(&tokens, "a-token,jo,jo\n").unwrap();
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let mut running = Running::start(
        [
            "serve".into(),
            "--authorization-mode=AlwaysAllow".into(),
            "--secure-port=0".into(),
            "--bind-address=127.0.0.1".into(),
            "--tls-san=images.example".into(),
            flag("token-auth-file", &tokens),
            flag("data-dir", &folder.join("data")),
            flag("cert-dir", &folder.join("certificates")),
            flag("write-kubeconfig", &path),
        ],
        child::Output::Logged,
    );
    running.wait_for_line(|line| line.contains("serving")).await;
    crate::harness::eventually("the kubeconfig is written", || async { path.exists() }).await;
    let text = fs::read_to_string(&path).expect("the kubeconfig can be read");
    (running, serde_saphyr::from_str(&text).expect("the kubeconfig is YAML"))
}

#[tokio::test]
async fn a_kubeconfig_leads_to_the_server() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let (_running, config) = with_kubeconfig(folder.path()).await;
    let cluster = &config["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().unwrap_or_default();
    let address = server.strip_prefix("https://").and_then(|address| address.parse().ok());
    let address = address.unwrap_or_else(|| panic!("no address: {config}"));
    let certificate = cluster["certificate-authority"].as_str().unwrap_or_default();
    assert!(Path::new(certificate).is_absolute(), "{config}");
    let trusted = fs::read(certificate).expect("the certificate can be read");
    let client = Client::new(address, &trusted, Identity::token("a-token"));
    let answer = client.send(Request::new("GET", "/version")).await.expect("the server is trusted");
    assert_eq!(answer.status, 200);
}
