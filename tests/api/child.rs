//! The binary with any arguments, and its output.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

/// The longest time until the next line, and until the end of the process.
const DEADLINE: Duration = Duration::from_secs(60);

/// A process of the binary; killed on drop.
pub(crate) struct Running {
    child: Child,
    lines: UnboundedReceiver<String>,
    /// The lines that have been read.
    pub(crate) lines_read: Vec<String>,
}

/// The stream that a test reads.
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
        let output = stdout.or(stderr).expect("one of them is piped");
        let (sender, lines) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The receiver is gone if the test has ended.
                let _ = sender.send(line);
            }
        });
        Self { child, lines, lines_read: Vec::new() }
    }

    /// Waits for a line. Panics if the process ends without it.
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

    /// Waits for the end and returns the whole output.
    pub(crate) async fn end(mut self) -> (ExitStatus, String) {
        while let Some(line) =
            timeout(DEADLINE, self.lines.recv()).await.expect("the process ends in time")
        {
            self.lines_read.push(line);
        }
        (self.child.wait().expect("the end of a child can be awaited"), self.lines_read.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
