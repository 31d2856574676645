//! The manifests before a real API server: it takes every object of every overlay as it stands, without a warning.

#[path = "manifests/kustomize.rs"]
mod kustomize;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Makes the namespace and the service account of the manifests for real and applies the rest as a dry run of the server. Panics, with the
/// server's words, when it refuses something or warns of something. It may be run again. A Service of the same name that
/// a test made in another way must not be there yet: the ports of both together are none that a Service could have.
pub(crate) fn check(kubectl: &Path, kubeconfig: &Path) {
    let run =
        |arguments: &[&str], objects: &[Value]| apply(kubectl, kubeconfig, arguments, objects);
    // A kube-apiserver makes kube-system, where one RoleBinding goes, some moments after it is ready.
    run(&["wait", "--for=create", "namespace/kube-system", "--timeout=60s"], &[]);
    for overlay in kustomize::overlays() {
        // The kinds of cert-manager are not known to a plain API server.
        let objects = kustomize::build(kubectl, &overlay)
            .into_iter()
            .filter(|object| !is_of_cert_manager(object));
        // Nothing can be tried in a namespace that is not there, and no pod without its service account.
        let comes_first =
            |object: &Value| object["kind"] == "Namespace" || object["kind"] == "ServiceAccount";
        let (first, rest): (Vec<_>, Vec<_>) = objects.partition(comes_first);
        run(&["apply", "--server-side", "--force-conflicts"], &first);
        let done = run(
            &[
                "apply",
                "--server-side",
                "--force-conflicts",
                "--dry-run=server",
                "--validate=strict",
            ],
            &rest,
        );
        assert_eq!(
            done.lines().count(),
            rest.len(),
            "{}: every object is told of: {done}",
            overlay.display()
        );
    }
    let overrides = format!("--overrides={CARE}");
    let pod = [
        "run",
        "care",
        "--namespace=imagestream-apiserver",
        "--image=dev",
        "--restart=Never",
        "--dry-run=server",
    ];
    let more =
        ["--override-type=strategic", &overrides, "--", "store", "check", "--data-dir=/data/store"];
    let done = run(&[&pod[..], &more].concat(), &[]);
    assert!(done.starts_with("pod/care created"), "{done}");
}

/// The overrides that manifests/OPERATIONS.md passes to `kubectl run` for a pod with the data volume.
const CARE: &str = include_str!("../../manifests/care.json");

fn is_of_cert_manager(object: &Value) -> bool {
    object["apiVersion"].as_str().is_some_and(|version| version.starts_with("cert-manager.io/"))
}

/// Runs kubectl with the objects as its input, and hands back what it said.
fn apply(kubectl: &Path, kubeconfig: &Path, arguments: &[&str], objects: &[Value]) -> String {
    let mut command = Command::new(kubectl);
    command.arg("--kubeconfig").arg(kubeconfig).arg("--warnings-as-errors").args(arguments);
    if !objects.is_empty() {
        command.args(["--field-manager=manifests", "--filename=-"]);
    }
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("kubectl can be run");
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string();
    let mut input = child.stdin.take().expect("the input is a pipe");
    input.write_all(list.as_bytes()).expect("kubectl takes its input");
    drop(input);
    let output = child.wait_with_output().expect("kubectl ends");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {}: {complaints}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
