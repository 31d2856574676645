//! kubectl of the pinned Kubernetes release, run as a user of a server.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::Value;

use super::plane::ControlPlane;
use super::wait::DEADLINE;
use crate::support::client::Identity;

/// The result of a run of kubectl.
#[derive(Debug)]
pub(crate) struct Said {
    /// Exit code: 0 on success. `kubectl diff` exits with 1 when it finds a difference.
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Said {
    /// The output of a successful run.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.output
    }

    /// The error output of a failed run.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_ne!(self.code, Some(0), "{self:?}");
        self.errors
    }
}

/// kubectl with a kubeconfig. Each run has an empty discovery cache.
pub(crate) struct Kubectl {
    pub(crate) program: PathBuf,
    pub(crate) kubeconfig: PathBuf,
}

impl Kubectl {
    /// Runs kubectl with standard input.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Said {
        self.run_with_editor(arguments, input, "false")
    }

    /// Runs kubectl with a command as its editor, which gets the name of the file as its argument.
    pub(crate) fn run_with_editor(&self, arguments: &[&str], input: &[u8], editor: &str) -> Said {
        let cache = tempfile::tempdir().expect("a temporary folder can be created");
        let mut child = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(cache.path())
            .args(arguments)
            .env("KUBE_EDITOR", editor)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl can be started");
        let mut pipe = child.stdin.take().expect("the input is a pipe");
        // If kubectl ends without reading its input, its exit code and error output show the
        // reason.
        let _ = pipe.write_all(input);
        drop(pipe);
        let Output { status, stdout, stderr } = child.wait_with_output().expect("kubectl ends");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { code: status.code(), output: text(stdout), errors: text(stderr) }
    }
}

/// A running kubectl whose output and errors are read line by line. Dropping it kills kubectl.
pub(crate) struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    /// Waits for a line that begins with `start` and skips the lines before it.
    #[track_caller]
    pub(crate) fn expect(&self, start: &str) -> String {
        self.expect_line(start, |line| line.starts_with(start))
    }

    /// Waits until kubectl has opened a watch. Needs the request log of kubectl (`--v=6`).
    #[track_caller]
    pub(crate) fn expect_watch(&self) {
        self.expect_line("of an open watch", |line| {
            line.contains("watch=true") && line.contains("200 OK")
        });
    }

    #[track_caller]
    fn expect_line(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut others = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) if is_it(&line) => return line,
                Ok(line) => others.push(line),
                Err(why) => {
                    panic!("kubectl prints no line {what:?}: {why}; other lines: {others:#?}")
                }
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // kubectl may already have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kubectl {
    /// Starts kubectl and reads its output while it runs.
    pub(crate) fn follow(&self, arguments: &[&str]) -> Following {
        let mut child = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl can be started");
        let (sender, lines) = channel();
        tell(child.stderr.take().expect("the errors are a pipe"), sender.clone());
        tell(child.stdout.take().expect("the output is a pipe"), sender);
        Following { child, lines }
    }
}

/// Forwards the lines of a pipe until either end is closed.
fn tell(pipe: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
    });
}

impl ControlPlane {
    /// kubectl as a user of the cluster.
    pub(crate) fn kubectl_of(&self, identity: &Identity) -> Kubectl {
        let kubeconfig = self.kubeconfig(identity).expect("a kubeconfig can be written");
        Kubectl { program: self.tools.path("kubectl"), kubeconfig }
    }

    pub(crate) fn kubectl(&self, identity: &Identity, arguments: &[&str]) -> Said {
        self.kubectl_with_input(identity, arguments, &[])
    }

    /// Runs kubectl with standard input.
    pub(crate) fn kubectl_with_input(
        &self,
        identity: &Identity,
        arguments: &[&str],
        input: &[u8],
    ) -> Said {
        self.kubectl_of(identity).run(arguments, input)
    }

    /// Applies objects as admin and takes over conflicting fields. Panics when kubectl fails.
    pub(crate) fn apply(&self, objects: &[Value]) {
        let list =
            serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let admin = self.user("admin", Some("system:masters")).identity();
        let arguments =
            ["apply", "--server-side", "--force-conflicts", "--validate=false", "--filename=-"];
        self.kubectl_with_input(&admin, &arguments, list.as_bytes()).done();
    }
}
