//! Build script: passes commit, date and compiler of the build to `server/version.rs`.
//!
//! `GIT_COMMIT` and `GIT_TREE_STATE` replace the calls of git, for builds without a `.git` folder.
//! `SOURCE_DATE_EPOCH` replaces the clock
//! (<https://reproducible-builds.org/specs/source-date-epoch>).

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Paths that the program is built from.
const SOURCES: [&str; 5] = [".cargo", "Cargo.lock", "Cargo.toml", "openapi", "src"];
const UNKNOWN: &str = "unknown";

fn main() {
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    // A release build depends on the git log too. A debug build keeps the commit of its last source
    // change, so that a commit alone causes no rebuild.
    if variable("PROFILE").as_deref() == Some("release")
        && is_repository()
        && let Some(log) =
            git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists())
    {
        println!("cargo::rerun-if-changed={log}");
    }
    let [commit, tree_state] = commit();
    pass("BUILD_COMMIT", &commit);
    pass("BUILD_TREE_STATE", &tree_state);
    match timestamp() {
        Ok(seconds) => pass("BUILD_TIMESTAMP", &seconds.to_string()),
        Err(error) => {
            println!("cargo::error=SOURCE_DATE_EPOCH must be seconds since 1970-01-01 UTC: {error}")
        }
    }
    let rustc = variable("RUSTC").and_then(|rustc| output(&rustc, &["--version"]));
    pass("BUILD_RUSTC", rustc.as_deref().unwrap_or(UNKNOWN));
    pass("BUILD_PROFILE", variable("PROFILE").as_deref().unwrap_or(UNKNOWN));
    pass("BUILD_TARGET", variable("TARGET").as_deref().unwrap_or(UNKNOWN));
}

/// Commit, and `clean` or `dirty`.
fn commit() -> [String; 2] {
    let [given, state] = ["GIT_COMMIT", "GIT_TREE_STATE"].map(input);
    let (commit, state) = match given {
        Some(commit) => (Some(commit), state),
        None if is_repository() => (git(&["rev-parse", "HEAD"]), tree_state()),
        None => (None, None),
    };
    [commit, state].map(|value| value.unwrap_or_else(|| UNKNOWN.to_owned()))
}

/// Returns false for a source archive that was unpacked inside the repository of another project.
fn is_repository() -> bool {
    let folder =
        variable("CARGO_MANIFEST_DIR").and_then(|folder| Path::new(&folder).canonicalize().ok());
    let root = git(&["rev-parse", "--show-toplevel"])
        .and_then(|root| Path::new(&root).canonicalize().ok());
    folder.is_some() && folder == root
}

fn tree_state() -> Option<String> {
    let mut arguments = vec!["--no-optional-locks", "status", "--porcelain", "--"];
    arguments.extend(SOURCES);
    let changes = git(&arguments)?;
    Some(if changes.is_empty() { "clean" } else { "dirty" }.to_owned())
}

/// Seconds since 1970-01-01 UTC.
fn timestamp() -> Result<u64, std::num::ParseIntError> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    input("SOURCE_DATE_EPOCH").map_or_else(|| Ok(now()), |text| text.parse())
}

/// Variable that the person who builds can set; an empty one, as of a build argument, is not set.
fn input(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    variable(name).filter(|value| !value.is_empty())
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn git(arguments: &[&str]) -> Option<String> {
    output("git", arguments)
}

/// Standard output of a program that succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn pass(name: &str, value: &str) {
    println!("cargo::rustc-env={name}={value}");
}
