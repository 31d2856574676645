//! The manifests against a real API server, which must accept every object of every overlay
//! unchanged and without a warning.

#[path = "manifests/kustomize.rs"]
mod kustomize;
#[path = "manifests/pod.rs"]
pub(crate) mod pod;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Creates the namespaces and service accounts of the manifests and applies all other objects as a
/// server-side dry run. Panics with the message of the server on an error or a warning. The
/// function may run repeatedly. A test must not have created a Service with the name of the
/// manifests: the merged list of ports would be invalid.
pub(crate) fn check(kubectl: &Path, kubeconfig: &Path) {
    let run =
        |arguments: &[&str], objects: &[Value]| apply(kubectl, kubeconfig, arguments, objects);
    // kube-apiserver creates kube-system, the namespace of one RoleBinding, shortly after it
    // becomes ready.
    run(&["wait", "--for=create", "namespace/kube-system", "--timeout=60s"], &[]);
    for overlay in kustomize::registered() {
        // A plain API server does not have the kinds of cert-manager.
        let objects = kustomize::build(kubectl, &overlay)
            .into_iter()
            .filter(|object| !is_of_cert_manager(object));
        // A dry run needs an existing namespace, and a pod needs its service account.
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
            "{}: one line of output for each object: {done}",
            overlay.display()
        );
    }
    let store = ["store", "check", "--data-dir=/data/store"];
    for (name, overrides, arguments) in
        [("care", CARE, &store[..]), ("check", CHECK, &["--version"])]
    {
        let overrides = format!("--overrides={overrides}");
        let namespace = "--namespace=imagestream-apiserver";
        let pod = ["run", name, namespace, "--image=dev", "--restart=Never", "--dry-run=server"];
        let more = ["--override-type=strategic", &overrides, "--"];
        let done = run(&[&pod[..], &more, arguments].concat(), &[]);
        assert!(done.starts_with(&format!("pod/{name} created")), "{done}");
    }
}

/// The overrides that manifests/OPERATIONS.md passes to `kubectl run` for a pod with the data
/// volume.
const CARE: &str = include_str!("../../manifests/care.json");
/// The overrides that manifests/README.md passes to `kubectl run` for a pod that tries an image.
const CHECK: &str = include_str!("../../manifests/check.json");

fn is_of_cert_manager(object: &Value) -> bool {
    object["apiVersion"].as_str().is_some_and(|version| version.starts_with("cert-manager.io/"))
}

/// Runs kubectl with the objects as its input and returns the output.
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
    input.write_all(list.as_bytes()).expect("kubectl reads its input");
    drop(input);
    let output = child.wait_with_output().expect("kubectl ends");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {}: {complaints}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
