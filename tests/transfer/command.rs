//! The commands of the binary, and data folders with objects.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The exit code and the output of a command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The binary with these arguments.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the binary with these arguments and this input.
pub(crate) fn run(arguments: &[&str], input: &str) -> Said {
    let mut child = command(arguments).spawn().expect("the binary can be started");
    // A command that rejects its arguments does not read its input, so the write may fail.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the child can be waited for");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `transfer` between two places.
pub(crate) fn transfer(from: &str, to: &str, flags: &[&str]) -> Said {
    run(&[&["transfer", "--from", from, "--to", to], flags].concat(), "")
}

/// Runs a transfer that must succeed.
pub(crate) fn transferred(from: &str, to: &str) -> Said {
    let said = transfer(from, to, &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said
}

/// Fills a folder with objects, and returns its export.
pub(crate) fn fill(folder: &Path, lines: &str) -> String {
    let said = run(&["store", "import", "-", &data_dir(folder)], lines);
    assert_eq!(said.code, Some(0), "{said:?}");
    export(folder)
}

/// The export of a folder.
pub(crate) fn export(folder: &Path) -> String {
    let said = run(&["store", "export", &data_dir(folder)], "");
    assert_eq!(said.code, Some(0), "{said:?}");
    said.out
}

/// Runs `store check`, which must succeed.
pub(crate) fn check(folder: &Path) {
    let said = run(&["store", "check", &data_dir(folder)], "");
    assert_eq!(said.code, Some(0), "{said:?}");
}

fn data_dir(folder: &Path) -> String {
    format!("--data-dir={}", folder.display())
}

/// Converts a path to an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
