//! The binary with any arguments, and its output.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

/// The timeout of the next line, and of the exit of the process.
const DEADLINE: Duration = Duration::from_secs(60);

/// A process of the binary. Killed on drop.
pub(crate) struct Running {
    child: Child,
    lines: UnboundedReceiver<String>,
    /// The lines read so far.
    pub(crate) lines_read: Vec<String>,
}

/// The output stream that a test reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Printed,
    Logged,
}

impl Running {
    pub(crate) fn start(arguments: impl IntoIterator<Item: AsRef<OsStr>>, output: Output) -> Self {
        let pipe = |wanted| if output == wanted { Stdio::piped() } else { Stdio::null() };
        let mut child = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(pipe(Output::Printed))
            .stderr(pipe(Output::Logged))
            .spawn()
            .expect("the binary can be started");
        let stdout = child.stdout.take().map(|stdout| Box::new(stdout) as Box<dyn Read + Send>);
        let stderr = child.stderr.take().map(|stderr| Box::new(stderr) as Box<dyn Read + Send>);
        let output = stdout.or(stderr).expect("one output is piped");
        let (sender, lines) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The receiver is closed if the test has ended.
                let _ = sender.send(line);
            }
        });
        Self { child, lines, lines_read: Vec::new() }
    }

    /// Waits for a line. Panics if the process exits without it.
    pub(crate) async fn wait_for_line(&mut self, is_wanted: impl Fn(&str) -> bool) {
        while !self.lines_read.last().is_some_and(|line| is_wanted(line)) {
            let line = timeout(DEADLINE, self.lines.recv()).await;
            let line =
                line.unwrap_or_else(|_| panic!("no further line after {:?}", self.lines_read));
            self.lines_read.push(
                line.unwrap_or_else(|| panic!("the process ended after {:?}", self.lines_read)),
            );
        }
    }

    /// Waits for the exit and returns the whole output.
    pub(crate) async fn end(mut self) -> (ExitStatus, String) {
        while let Some(line) =
            timeout(DEADLINE, self.lines.recv()).await.expect("the process exits in time")
        {
            self.lines_read.push(line);
        }
        (self.child.wait().expect("the child can be waited for"), self.lines_read.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both calls fail only for a child that has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
