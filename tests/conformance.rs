//! Replays recorded conversations with the reference implementation against the real binary: it must answer as
//! recorded, except where `conformance/exceptions.json` says what it answers instead, and why.
//!
//! For work on the cases, by environment:
//!
//! * `CONFORMANCE_SHOW=area/case` (or `area`) replays only that and prints its exchanges; needs `-- --nocapture` to be
//!   seen when it passes;
//! * `CONFORMANCE_CASES=folder` replays the cases of another folder; exceptions count where they name one of them;
//! * `CONFORMANCE_WRITE_EXCEPTIONS=file` writes every replayed step that differs from its recording as an exception:
//!   with the reason that it has, or with `TODO` where the answer is not the one that a reason was given for.
//!   `exceptions.json` with a `TODO` in it is refused.
//!
//! No exception covers what must hold for every answer (`support/client.rs`).
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
use support::client::{Client, Identity};
use support::process::Server;

/// So many findings of a case are printed.
const LINES: usize = 12;

#[tokio::test]
async fn every_request_is_answered_as_recorded() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let exceptions = Exceptions::read(&here.join("exceptions.json")).expect("the exceptions can be used");
    let (folder, missing_case) = match env::var_os("CONFORMANCE_CASES") {
        Some(elsewhere) => (PathBuf::from(elsewhere), MissingCase::Accepted),
        None => (here.join("cases"), MissingCase::Refused),
    };
    let mut cases = read_cases(&folder);
    let stray = exceptions.without_step(&cases, missing_case);
    assert!(stray.is_empty(), "{}", stray.join("\n"));
    let show = keep_shown(&mut cases);
    assert!(!cases.is_empty(), "there are no cases to replay");

    let server = Server::start(&[]).await;
    let replayer =
        Replayer { clients: clients(&server), given: BTreeMap::new(), exceptions, show, rules: Rules::new() };
    let outcomes = replay_by_area(&replayer, &cases).await;

    if let Some(path) = env::var_os("CONFORMANCE_WRITE_EXCEPTIONS") {
        let differing: Vec<_> = outcomes.iter().flat_map(|(_, outcome)| outcome.differing.clone()).collect();
        Exceptions::write(Path::new(&path), &differing).expect("the exceptions can be written");
    }
    let failed = outcomes.iter().filter(|(case, outcome)| report(case, outcome).is_err()).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    assert_eq!(failed, 0, "so many cases are not answered as recorded");
}

/// Keeps the cases that are to be shown, if any are.
fn keep_shown(cases: &mut Vec<Case>) -> Show {
    let Ok(shown) = env::var("CONFORMANCE_SHOW") else { return Show::Nothing };
    cases.retain(|case| case.name == shown || case.area() == shown);
    Show::Exchanges
}

/// The identities that cases may name.
fn clients(server: &Server) -> BTreeMap<String, Client> {
    let anonymous = server.client(Identity::default());
    [("admin", server.admin()), ("alice", server.alice()), ("anonymous", anonymous)]
        .map(|(name, client)| (name.to_owned(), client))
        .into()
}

/// Areas use names of their own, so they run side by side; the cases of an area share names and run one by one.
async fn replay_by_area<'a>(replayer: &Replayer, cases: &'a [Case]) -> Vec<(&'a Case, Outcome)> {
    let areas = cases.chunk_by(|a, b| a.area() == b.area()).map(|area| async move {
        let mut outcomes = Vec::new();
        for case in area {
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
