//! Commands of the binary on stores in etcd.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::members::{ClientFiles, Members};

/// A cluster of one member, and the files of a client.
struct Shell {
    members: Members,
    files: ClientFiles,
    _folder: tempfile::TempDir,
}

impl Shell {
    async fn start() -> Self {
        let members = Members::start(1).await;
        let folder = tempfile::tempdir().expect("a temporary folder can be created");
        let files = members.client_files(folder.path());
        Self { members, files, _folder: folder }
    }

    /// Runs a command on the store with a prefix.
    fn run(&self, command: &[&str], prefix: &str, input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"))
            .args(command)
            .arg("--storage-backend=etcd3")
            .arg(format!("--etcd-servers={}", self.members.endpoints().join(",")))
            .arg(format!("--etcd-prefix={prefix}"))
            .arg(format!("--etcd-cafile={}", self.files.authority.display()))
            .arg(format!("--etcd-certfile={}", self.files.certificate.display()))
            .arg(format!("--etcd-keyfile={}", self.files.key.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        // A command that reads no input may have ended.
        let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("the child can be waited for")
    }

    /// The number of keys in etcd, of any prefix.
    async fn keys(&self) -> usize {
        let all = json!({"key": "AA==", "range_end": "AA==", "keys_only": true});
        let found = self.members.call(0, "/v3/kv/range", &all).await;
        found["kvs"].as_array().map_or(0, Vec::len)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_read_create_no_store() {
    let shell = Shell::start().await;
    let checked = shell.run(&["check"], "/wrong", "");
    let report = text(&checked.stdout);
    assert!(report.contains("has no store below /wrong yet"), "{report}");
    let exported = shell.run(&["store", "export"], "/wrong", "");
    let error = text(&exported.stderr);
    assert!(!exported.status.success() && error.contains("correct --etcd-prefix"), "{error}");
    assert_eq!(shell.keys().await, 0);
    // Any command that writes creates it.
    assert!(shell.run(&["store", "import", "-"], "/right", "").status.success());
    assert!(shell.keys().await > 0);
    let checked = text(&shell.run(&["check"], "/right", "").stdout);
    assert!(checked.contains("can be read"), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_objects_are_exported_unchanged() {
    let shell = Shell::start().await;
    let images = (0..300).map(|number| {
        let name = format!("sha256:{number:064x}");
        json!({"kind": "Image", "apiVersion": "image.openshift.io/v1",
            "metadata": {"name": name}, "dockerImageReference": format!("r.io/a@{name}")})
    });
    let streams = (0..3).map(|number| {
        json!({"kind": "ImageStream", "apiVersion": "image.openshift.io/v1",
            "metadata": {"name": format!("s{number}"), "namespace": "ns"}})
    });
    let input: String = images.chain(streams).map(|object| format!("{object}\n")).collect();
    let imported = shell.run(&["store", "import", "-"], "/a", &input);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    let [first, second] = {
        let first = shell.run(&["store", "export"], "/a", "");
        let imported = shell.run(&["store", "import", "-"], "/b", &text(&first.stdout));
        assert!(imported.status.success(), "{}", text(&imported.stderr));
        [first, shell.run(&["store", "export"], "/b", "")].map(|exported| objects(&exported.stdout))
    };
    assert_eq!(first.len(), 303);
    assert_eq!(first, second);
}

/// Objects of an export, without their revisions.
fn objects(export: &[u8]) -> Vec<Value> {
    let parse = |line: &str| {
        let mut object: Value = serde_json::from_str(line).expect("a line is an object");
        object["metadata"]["resourceVersion"].take();
        object
    };
    text(export).lines().map(parse).collect()
}
