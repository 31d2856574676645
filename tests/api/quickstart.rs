//! `quickstart`: one command, which prints commands that work unchanged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::child::{Output, Running};
use crate::harness::{Expect, request};
use crate::support::client::{Client, Identity};

const DEADLINE: Duration = Duration::from_secs(60);

/// A running quickstart server.
struct Quickstart(Running);

impl Quickstart {
    async fn start(data: &Path) -> Self {
        let data = data.to_str().expect("the path is text");
        let mut running =
            Running::start(["quickstart", "--secure-port=0", "--data-dir", data], Output::Printed);
        running.wait_for_line(|line| line.starts_with("Read next:")).await;
        Self(running)
    }

    /// Returns the printed commands of a program.
    fn commands(&self, program: &str) -> Vec<&str> {
        self.0
            .lines_read
            .iter()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| line.starts_with(program))
            .collect()
    }

    /// Returns the address and the path in the printed curl command.
    fn target(&self) -> (std::net::SocketAddr, String) {
        let curl = self.commands("curl")[0];
        let (_, rest) = curl.split_once("https://").expect("the command has an address");
        let (address, path) =
            rest.split_once("/apis/image.openshift.io/v1/").expect("the command has a path");
        (address.parse().expect("the address is valid"), path.to_owned())
    }

    fn client(&self, data: &Path) -> Client {
        let certificates =
            fs::read_dir(data.join("certificates")).expect("the folder of certificates exists");
        let certificate: PathBuf = certificates
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "crt"))
            .expect("the folder has a certificate");
        let ca = fs::read(certificate).expect("the certificate can be read");
        Client::new(self.target().0, &ca, Identity::token(&token(data)))
    }
}

fn token(data: &Path) -> String {
    fs::read_to_string(data.join("admin.token")).expect("the token file exists")
}

fn new_folder() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().expect("a folder can be created");
    // The shell must not change printed paths.
    let data = parent.path().join("my data's");
    (parent, data)
}

fn exists(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// Runs a printed command in a shell.
async fn paste(command: &str, home: &Path) -> process::Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("HOME", home).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || shell.output());
    let output = timeout(DEADLINE, output).await.expect("the command ends in time");
    let output = output.expect("the command does not panic").expect("the shell can be started");
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the metadata can be read").permissions().mode() & 0o777
}

/// Returns all files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn the_folder_is_for_its_owner_only_and_the_token_is_not_shown() {
    let (_parent, data) = new_folder();
    let quickstart = Quickstart::start(&data).await;
    assert_eq!(mode(&data), 0o700);
    for name in ["admin.token", "tokens.csv", "kubeconfig"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    let keys: Vec<_> = files(&data)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "key"))
        .collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| mode(key) == 0o600), "{keys:?}");
    let token = token(&data);
    assert!(
        quickstart.0.lines_read.iter().all(|line| !line.contains(token.trim())),
        "{:?}",
        quickstart.0.lines_read
    );
    assert!(!quickstart.commands("curl").is_empty() && quickstart.commands("kubectl").len() >= 2);
}

#[tokio::test]
async fn the_printed_curl_command_shows_an_image() {
    let (parent, data) = new_folder();
    let quickstart = Quickstart::start(&data).await;
    let (_, path) = quickstart.target();
    let shown: Value = if exists("curl") {
        let output = paste(quickstart.commands("curl")[0], parent.path()).await;
        serde_json::from_slice(&output.stdout).expect("the response is JSON")
    } else {
        println!("curl is missing here: the request that it would send is sent without it");
        quickstart.client(&data).send(request("GET", &path)).await.expect("a response").is(200)
    };
    assert_eq!(shown["kind"], "ImageStreamImage", "{shown}");
    assert!(path.ends_with(shown["metadata"]["name"].as_str().unwrap_or("no name")), "{path}");
    assert!(
        shown["image"]["dockerImageLayers"].as_array().is_some_and(|layers| !layers.is_empty()),
        "{shown}"
    );
}

#[tokio::test]
async fn the_printed_kubectl_commands_work() {
    if !exists("kubectl") {
        println!("kubectl is missing here: its commands are not tried");
        return;
    }
    let (parent, data) = new_folder();
    let quickstart = Quickstart::start(&data).await;
    let export = quickstart.commands("export")[0];
    for command in quickstart.commands("kubectl") {
        // Only the watch does not end by itself.
        let end = if command.ends_with("--watch") { " --request-timeout=1s || true" } else { "" };
        let output = paste(&format!("{export}; {command}{end}"), parent.path()).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("hello") || text.contains("created"), "{command}\n{text}");
    }
}

#[tokio::test]
async fn nothing_is_logged_without_being_asked() {
    let (_parent, data) = new_folder();
    let quickstart = Quickstart::start(&data).await;
    let lines = &quickstart.0.lines_read;
    assert!(lines.iter().all(|line| !line.contains(" INFO ")), "{lines:?}");
    assert!(lines[0].starts_with("The server listens on https://"), "{lines:?}");
}

#[tokio::test]
async fn a_second_start_in_the_folder_says_that_one_runs() {
    let (_parent, data) = new_folder();
    let _quickstart = Quickstart::start(&data).await;
    let second = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"))
        .args(["quickstart", "--data-dir"])
        .arg(&data)
        .stdin(Stdio::null())
        .output();
    let second = second.expect("the command can be started");
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success(), "{text}");
    assert!(text.contains("a quickstart is running with the folder"), "{text}");
}

#[tokio::test]
async fn kubectl_explains_fields_and_validates_what_it_creates() {
    if !exists("kubectl") {
        println!("kubectl is missing here: nothing is explained and nothing validated");
        return;
    }
    let (parent, data) = new_folder();
    let _quickstart = Quickstart::start(&data).await;
    let kubectl = format!("kubectl --kubeconfig \"{}/kubeconfig\" -n samples", data.display());
    let explain = format!("{kubectl} explain isimage.image.dockerImageLayers");
    let explained =
        String::from_utf8_lossy(&paste(&explain, parent.path()).await.stdout).into_owned();
    for text in [
        "ImageStreamImage",
        "DockerImageLayers is the list of layers of the image, lowest first.",
        "Size is the size of the layer in bytes, as stored in the registry.",
    ] {
        assert!(explained.contains(text), "{text} is missing:\n{explained}");
    }
    let create = |spec: &str| {
        let stream = format!(
            r#"{{"apiVersion":"image.openshift.io/v1","kind":"ImageStream","metadata":{{"name":"mine"}},"spec":{spec}}}"#
        );
        format!("echo '{stream}' | {kubectl} create --validate=strict -f - 2>&1")
    };
    let refused = format!("{} || true", create(r#"{"tagz":[]}"#));
    let refused =
        String::from_utf8_lossy(&paste(&refused, parent.path()).await.stdout).into_owned();
    assert!(refused.contains(r#"unknown field "spec.tagz""#), "{refused}");
    let created = paste(&create(r#"{"tags":[{"name":"one"}]}"#), parent.path()).await;
    let created = String::from_utf8_lossy(&created.stdout).into_owned();
    assert_eq!(created.trim_end(), "imagestream.image.openshift.io/mine created");
    // kubectl validates kinds without patch itself, with the OpenAPI document of version 2.
    let push = |image: &str| {
        let mapping = format!(
            r#"{{"apiVersion":"image.openshift.io/v1","kind":"ImageStreamMapping","metadata":{{"name":"mine"}},"tag":"a","image":{image}}}"#
        );
        format!("echo '{mapping}' | {kubectl} create -f - 2>&1 || true")
    };
    for (image, said) in [
        (
            r#"{"metadata":{"name":"sha256:01"},"dockerImageLayerz":[]}"#,
            r#"unknown field "dockerImageLayerz" in com.github"#,
        ),
        (
            r#"{"metadata":{"name":"sha256:01"},"dockerImageReference":"registry.example.com/a:1"}"#,
            "created",
        ),
    ] {
        let output =
            String::from_utf8_lossy(&paste(&push(image), parent.path()).await.stdout).into_owned();
        assert!(output.contains(said), "{said} is missing in {output}");
    }
}

/// Returns the commands after `$ ` in a document, each with the lines up to the next command or
/// text.
fn commands_of(document: &str) -> Vec<(String, Vec<&str>)> {
    let mut commands: Vec<(String, Vec<&str>)> = Vec::new();
    let mut is_complete = true;
    for line in document.lines() {
        let Some(code) = line.strip_prefix("    ") else {
            is_complete = true;
            continue;
        };
        let start = code.strip_prefix("$ ");
        match (start, commands.last_mut()) {
            (Some(start), _) => commands.push((start.to_owned(), Vec::new())),
            (None, Some((command, _))) if !is_complete => command.extend(["\n", code]),
            (None, Some((_, shown))) => shown.push(code),
            (None, None) => continue,
        }
        let (command, _) = commands.last().expect("the line belongs to a command");
        let is_continued = command.ends_with('\\');
        let is_open = command.contains("<<EOF") && !command.ends_with("\nEOF");
        is_complete = !is_continued && !is_open;
    }
    commands
}

#[tokio::test]
async fn the_commands_of_the_readme_work() {
    if !exists("kubectl") || !exists("curl") {
        println!("kubectl or curl is missing here: the commands of the README are not tried");
        return;
    }
    let parent = tempfile::tempdir().expect("a folder can be created");
    let quickstart = Quickstart::start(&parent.path().join("data")).await;
    let address = quickstart.target().0.to_string();
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).expect("the README can be read");
    let commands = commands_of(&readme);
    assert!(commands.len() >= 4, "the README has commands: {commands:?}");
    let time = Regex::new(r#""creationTimestamp": "[^"]*""#).unwrap();
    let undated = |text: &str| time.replace_all(text, "time").into_owned();
    let mut answers = 0;
    for (command, shown) in commands {
        let command = command.replace("127.0.0.1:8443", &address);
        // Each command runs in a shell of its own.
        let export = "export KUBECONFIG=\"$HOME/data/kubeconfig\"";
        let command = format!("cd \"$HOME\"; {export}; {command}");
        let output = String::from_utf8(paste(&command, parent.path()).await.stdout)
            .expect("the output is text");
        // The README shows the start of the only JSON response.
        if shown.first() == Some(&"{") {
            let shown = shown
                .iter()
                .take_while(|line| **line != "…")
                .copied()
                .collect::<Vec<_>>()
                .join("\n");
            assert!(
                undated(&output).starts_with(&undated(&shown)),
                "the README shows\n{shown}\n\nbut {output}"
            );
            answers += 1;
        }
    }
    assert_eq!(answers, 1, "the README shows a response");
}

#[tokio::test]
async fn the_sample_holds_images_of_every_form() {
    let (_parent, data) = new_folder();
    let quickstart = Quickstart::start(&data).await;
    let client = quickstart.client(&data);
    let stream = client
        .send(request("GET", "namespaces/samples/imagestreams/hello"))
        .await
        .expect("a response")
        .is(200);
    let (mut kinds, mut history) = (Vec::new(), 0);
    for tag in stream["status"]["tags"].as_array().expect("the sample has tags") {
        let events = tag["items"].as_array().expect("the tags have a history");
        history = history.max(events.len());
        for name in
            events.iter().map(|event| event["image"].as_str().expect("each event has an image"))
        {
            let path = format!("namespaces/samples/imagestreamimages/hello@{name}");
            let shown = client.send(request("GET", &path)).await.expect("a response").is(200);
            kinds.push(
                shown["image"]["dockerImageManifestMediaType"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
            for part in shown["image"]["dockerImageManifests"].as_array().into_iter().flatten() {
                let path = format!(
                    "namespaces/samples/imagestreamimages/hello@{}",
                    part["digest"].as_str().unwrap_or_default()
                );
                client.send(request("GET", &path)).await.expect("a response").is(200);
            }
        }
    }
    for kind in ["oci.image.manifest", "distribution.manifest.v2", "oci.image.index"] {
        assert!(kinds.iter().any(|each| each.contains(kind)), "{kind} is missing in {kinds:?}");
    }
    assert!(history >= 2, "one tag has several images in its history");
}

#[tokio::test]
async fn running_it_again_keeps_the_data() {
    let (_parent, data) = new_folder();
    let path = "namespaces/samples/imagestreams/hello";
    let mut before = None;
    for _ in 0..2 {
        let quickstart = Quickstart::start(&data).await;
        let stream =
            quickstart.client(&data).send(request("GET", path)).await.expect("a response").is(200);
        let now = (token(&data), stream);
        assert_eq!(*before.get_or_insert_with(|| now.clone()), now);
    }
}

#[tokio::test]
async fn check_reads_the_flags_of_a_quickstart() {
    let folder = tempfile::tempdir().expect("a folder can be created");
    let data = folder.path().join("data");
    let _quickstart = Quickstart::start(&data).await;
    let flag = format!("--server-kubeconfig={}", data.join("kubeconfig").display());
    let (status, text) = Running::start(["check", &flag], Output::Printed).end().await;
    assert!(status.success(), "{text}");
    for line in ["is ready", "flags: they are those of the running server", "is in use"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}
