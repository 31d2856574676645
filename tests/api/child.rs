//! The binary with any arguments, and what it says.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

/// The longest time until a line that a test waits for, and until the end.
const DEADLINE: Duration = Duration::from_secs(60);

/// A process of the binary; killed on drop.
pub(crate) struct Running {
    child: Child,
    lines: UnboundedReceiver<String>,
    /// The lines that were waited for, and those before them.
    pub(crate) said: Vec<String>,
}

/// What a test listens to.
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
                // Nobody may listen any more.
                let _ = sender.send(line);
            }
        });
        Self { child, lines, said: Vec::new() }
    }

    /// Waits for a line. Panics when the process ends without it.
    pub(crate) async fn says(&mut self, is_wanted: impl Fn(&str) -> bool) {
        while !self.said.last().is_some_and(|line| is_wanted(line)) {
            let line = timeout(DEADLINE, self.lines.recv()).await;
            let line = line.unwrap_or_else(|_| panic!("nothing more is said after {:?}", self.said));
            self.said.push(line.unwrap_or_else(|| panic!("the process ended after {:?}", self.said)));
        }
    }

    /// Waits for the end, and answers all that was said until then.
    pub(crate) async fn end(mut self) -> (ExitStatus, String) {
        while let Some(line) = timeout(DEADLINE, self.lines.recv()).await.expect("the process ends in time") {
            self.said.push(line);
        }
        (self.child.wait().expect("the end of a child can be awaited"), self.said.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Neither can fail but for a child that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
