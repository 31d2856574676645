//! Replays recorded conversations with the reference implementation against the real binary: it must answer as
//! recorded, except where `conformance/exceptions.json` says what it answers instead, and why.
//!
//! For work on the cases, by environment:
//!
//! * `CONFORMANCE_SHOW=area/case` (or `area`) replays only that and prints its exchanges; needs `-- --nocapture` to be
//!   seen when it passes;
//! * `CONFORMANCE_CASES=folder` replays the cases of another folder; exceptions count where they name one of them;
//! * `CONFORMANCE_WRITE_EXCEPTIONS=file` writes every step that differs from its recording as an exception, with `TODO`
//!   for the reasons that nobody gave yet. A file with `TODO` is refused.
//!
//! A case is JSON; `conformance/case.rs` says what its fields mean.

#[path = "conformance/replay.rs"]
mod replay;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use futures_util::future::join_all;

use replay::case::Case;
use replay::exceptions::{Exceptions, MissingCase};
use replay::{Outcome, Replayer, Show, scrub::Rules};
use support::{client::Identity, process::Server};

/// So many findings of a case are printed.
const LINES: usize = 12;

#[tokio::test]
async fn every_request_is_answered_as_recorded() {
    let elsewhere = env::var_os("CONFORMANCE_CASES").map(PathBuf::from);
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let exceptions = Exceptions::read(&here.join("exceptions.json")).expect("the exceptions can be used");
    let missing_case = if elsewhere.is_some() { MissingCase::Accepted } else { MissingCase::Refused };
    let cases = read_cases(&elsewhere.unwrap_or_else(|| here.join("cases")));
    let stray = exceptions.without_step(&cases, missing_case);
    assert!(stray.is_empty(), "{}", stray.join("\n"));

    let shown = env::var("CONFORMANCE_SHOW").ok();
    let show = if shown.is_some() { Show::Exchanges } else { Show::Nothing };
    let wanted = |case: &&Case| shown.as_deref().is_none_or(|shown| [case.area(), &case.name].contains(&shown));
    let cases: Vec<&Case> = cases.iter().filter(wanted).collect();
    assert!(!cases.is_empty(), "there are no cases to replay");

    let server = Server::start(&[]).await;
    let clients =
        [("admin", server.admin()), ("alice", server.alice()), ("anonymous", server.client(Identity::default()))];
    let clients = clients.map(|(name, client)| (name.to_owned(), client)).into();
    let replayer = Replayer { clients, given: BTreeMap::new(), exceptions, show, rules: Rules::new() };
    let outcomes = replay_by_area(&replayer, &cases).await;

    if let Some(path) = env::var_os("CONFORMANCE_WRITE_EXCEPTIONS") {
        let differing: Vec<_> = outcomes.iter().flat_map(|(_, outcome)| outcome.differing.clone()).collect();
        Exceptions::write(Path::new(&path), &differing).expect("the exceptions can be written");
    }
    let failed = outcomes.iter().filter(|(case, outcome)| report(case, outcome).is_err()).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    assert_eq!(failed, 0, "so many cases are not answered as recorded");
}

/// Areas use names of their own, so they run side by side; the cases of an area share names and run one by one.
async fn replay_by_area<'a>(replayer: &Replayer, cases: &[&'a Case]) -> Vec<(&'a Case, Outcome)> {
    let areas = cases.chunk_by(|a, b| a.area() == b.area()).map(|area| async move {
        let mut outcomes = Vec::new();
        for &case in area {
            outcomes.push((case, replayer.replay(case).await));
        }
        outcomes
    });
    join_all(areas).await.into_iter().flatten().collect()
}

/// Prints what is wrong with a case, if anything is.
fn report(case: &Case, outcome: &Outcome) -> Result<(), ()> {
    if outcome.findings.is_empty() {
        return Ok(());
    }
    println!("FAIL {}  ({})", case.name, case.about);
    for (step, line) in outcome.findings.iter().take(LINES) {
        println!("     step {step}: {line}");
    }
    Err(())
}

/// The cases of all files below a folder, by name.
fn read_cases(folder: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of cases can be read") {
        let path = entry.expect("the folder of cases can be read").path();
        if path.is_dir() {
            cases.extend(read_cases(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            cases.push(Case::read(&path).expect("a case can be read"));
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}
