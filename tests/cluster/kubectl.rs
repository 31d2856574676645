//! kubectl of the same release, as one of the users of a control plane.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::plane::ControlPlane;
use crate::support::client::Identity;

/// What kubectl did.
#[derive(Debug)]
pub(crate) struct Said {
    /// Whether it ended without an error.
    pub(crate) done: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Said {
    /// The output of a call that did not fail.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert!(self.done, "{self:?}");
        self.output
    }

    /// The errors of a call that failed.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert!(!self.done, "{self:?}");
        self.errors
    }
}

impl ControlPlane {
    /// Runs kubectl. It remembers nothing of earlier runs.
    pub(crate) fn kubectl(&self, identity: &Identity, arguments: &[&str]) -> Said {
        self.kubectl_with_input(identity, arguments, &[])
    }

    /// Applies objects as admin and takes over whatever others have set of them. Panics when that is refused.
    pub(crate) fn apply(&self, objects: &[Value]) {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let admin = self.user("admin", Some("system:masters")).identity();
        let arguments = ["apply", "--server-side", "--force-conflicts", "--validate=false", "--filename=-"];
        self.kubectl_with_input(&admin, &arguments, list.as_bytes()).done();
    }

    /// Runs kubectl with something to read.
    pub(crate) fn kubectl_with_input(&self, identity: &Identity, arguments: &[&str], input: &[u8]) -> Said {
        let kubeconfig = self.kubeconfig(identity).expect("a kubeconfig can be written");
        let cache = tempfile::tempdir().expect("a temporary folder can be made");
        let mut child = Command::new(self.tools.path("kubectl"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--cache-dir")
            .arg(cache.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl can be started");
        let mut pipe = child.stdin.take().expect("the input is a pipe");
        // A kubectl that ends without reading its input says why elsewhere.
        let _ = pipe.write_all(input);
        drop(pipe);
        let Output { status, stdout, stderr } = child.wait_with_output().expect("kubectl ends");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { done: status.success(), output: text(stdout), errors: text(stderr) }
    }
}
