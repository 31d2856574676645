//! Clients that code generators make of `openapi/v3.json` work through kube-apiserver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::backend::token;
use super::grants;
use super::objects;
use super::peers::{beside, run};
use super::site::shared;
use super::tools::peers;
use crate::support::client::Identity;

/// The folder of the generated clients.
fn generated() -> PathBuf {
    peers().expect("the third-party clients are built").join("generated")
}

/// Runs a program with the kubeconfig of a service account that may edit streams, and checks what it
/// prints.
async fn check(command: &mut Command, namespace: &str, stream: &str) {
    let site = shared().await;
    site.plane
        .apply(&[objects::namespace(namespace), objects::service_account(namespace, "generated")]);
    let account = grants::service_account(namespace, "generated");
    site.plane.bind(namespace, &account, "edit", ("create", "imagestreams")).await;
    let identity = Identity::token(&token(&site.plane, namespace, "generated").await);
    let kubeconfig = site.plane.kubeconfig(&identity).expect("the kubeconfig can be written");
    let printed = run(command.arg(kubeconfig).arg(namespace));
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("the program prints JSON"))
        .collect();
    let expected = [
        json!({"step": "create", "status": 201, "names": [stream]}),
        json!({"step": "get", "status": 200, "names": [stream, "stable"]}),
        json!({"step": "list", "status": 200, "names": [stream]}),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn generated_python_client_creates_reads_and_lists() {
    let folder = generated();
    let mut command = Command::new(folder.join("venv/bin/python"));
    command.arg(beside("generated/client.py")).arg(&folder);
    check(&mut command, "generated-python", "from-python").await;
}

#[tokio::test]
async fn generated_go_client_creates_reads_and_lists() {
    let mut command = Command::new(generated().join("go/client-of-go"));
    check(&mut command, "generated-go", "from-go").await;
}

#[test]
fn code_generators_drop_no_schema() {
    let read = |path: &str| fs::read_to_string(generated().join(path)).expect("the file exists");
    assert_eq!(read("go-warnings"), "");
    // openapi-python-client supports JSON only.
    let others = ["vnd.kubernetes.protobuf", "yaml", "apply-patch+yaml"];
    let is_about_media = |message: &str| {
        others.iter().any(|name| message == format!("Unsupported content type application/{name}"))
    };
    let warnings = read("python-warnings");
    let mut messages = warnings.lines().filter(|line| line.starts_with("Un"));
    assert!(messages.clone().count() > 0, "{warnings}");
    assert!(messages.all(is_about_media), "{warnings}");
    assert!(!warnings.contains("removal"), "{warnings}");

    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/v3.json");
    let document = fs::read(document).expect("the document exists");
    let document: Value = serde_json::from_slice(&document).expect("the document is JSON");
    let schemas = document["components"]["schemas"].as_object().expect("the document has schemas");
    let classes = read("image_client/models/__init__.py").to_lowercase();
    let types = read("go/client/client.gen.go").to_lowercase();
    for name in
        schemas.iter().filter(|(_, schema)| schema["type"] == "object").map(|(name, _)| name)
    {
        let generated = name.replace('.', "").to_lowercase();
        assert!(classes.contains(&format!("import {generated}\n")), "Python: {name}");
        assert!(types.contains(&format!("type {generated} ")), "Go: {name}");
    }
    assert!(schemas.len() > 40, "{}", schemas.len());
}
