//! Suite of recorded conversations of some areas, with a report. Shared by the test binaries, which
//! supply the identities.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use futures_util::future::join_all;

use crate::replay::case::Case;
use crate::replay::exceptions::{Exceptions, MissingCase};
use crate::replay::{Outcome, Replayer, Show, scrub::Rules};
use crate::support::client::Client;

/// Maximum number of printed findings per case.
const LINES: usize = 12;

/// Cases to replay, with their exceptions.
pub(crate) struct Suite {
    cases: Vec<Case>,
    exceptions: Exceptions,
    given: BTreeMap<String, String>,
    show: Show,
}

impl Suite {
    /// The `wanted` cases, restricted by the environment. Panics if the exceptions do not match the
    /// cases.
    pub(crate) fn of(wanted: impl Fn(&Case) -> bool) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
        let exceptions =
            Exceptions::read(&here.join("exceptions.json")).expect("the exceptions are valid");
        let (folder, missing_case) = match env::var_os("CONFORMANCE_CASES") {
            Some(elsewhere) => (PathBuf::from(elsewhere), MissingCase::Accepted),
            None => (here.join("cases"), MissingCase::Refused),
        };
        let mut cases = read_cases(&folder);
        let stray = exceptions.without_step(&cases, missing_case);
        assert!(stray.is_empty(), "{}", stray.join("\n"));
        let show = keep_shown(&mut cases);
        cases.retain(wanted);
        // The selection by the environment may exclude all cases of this suite.
        let chosen = show == Show::Exchanges || missing_case == MissingCase::Accepted;
        assert!(chosen || !cases.is_empty(), "no case to replay");
        Self { cases, exceptions, given: BTreeMap::new(), show }
    }

    /// The `wanted` cases without exceptions: for a server in a cluster, which has the features
    /// that the exceptions declare missing.
    pub(crate) fn as_recorded(wanted: impl Fn(&Case) -> bool) -> Self {
        Self { exceptions: Exceptions::default(), ..Self::of(wanted) }
    }

    /// Sets a variable of the cases. Its value becomes a placeholder in responses.
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.given.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// Replays the cases as these identities. Panics on an unexpected response.
    pub(crate) async fn replay(self, clients: BTreeMap<String, Client>) {
        let Self { cases, exceptions, given, show } = self;
        let replayer = Replayer { clients, given, exceptions, show, rules: Rules::new() };
        let outcomes = replay_by_area(Arc::new(replayer), cases).await;

        if let Some(path) = env::var_os("CONFORMANCE_WRITE_EXCEPTIONS") {
            let differing: Vec<_> =
                outcomes.iter().flat_map(|(_, outcome)| outcome.differing.clone()).collect();
            Exceptions::write(Path::new(&path), &differing).expect("the exceptions can be written");
        }
        let failed =
            outcomes.iter().filter(|(case, outcome)| report(case, outcome).is_err()).count();
        println!("{} passed, {failed} failed", outcomes.len() - failed);
        assert_eq!(failed, 0, "number of cases that differ from the recording");
    }
}

/// Keeps the cases that `CONFORMANCE_SHOW` selects, if set.
fn keep_shown(cases: &mut Vec<Case>) -> Show {
    let Ok(shown) = env::var("CONFORMANCE_SHOW") else { return Show::Nothing };
    cases.retain(|case| case.name == shown || case.area() == shown);
    assert!(!cases.is_empty(), "CONFORMANCE_SHOW={shown} names no case and no area");
    Show::Exchanges
}

/// Replays areas in parallel, each in its own task, because comparisons of large responses take a
/// while. Cases of an area share names and run in sequence.
async fn replay_by_area(replayer: Arc<Replayer>, cases: Vec<Case>) -> Vec<(Case, Outcome)> {
    let mut areas: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in cases {
        areas.entry(case.area().to_owned()).or_default().push(case);
    }
    let areas = areas.into_values().map(|cases| {
        let replayer = Arc::clone(&replayer);
        tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for case in cases {
                let outcome = replayer.replay(&case).await;
                outcomes.push((case, outcome));
            }
            outcomes
        })
    });
    join_all(areas)
        .await
        .into_iter()
        .flat_map(|area| area.expect("replaying does not panic"))
        .collect()
}

/// Prints the failures of a case, if any.
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

/// Cases of all files below a folder, by name.
fn read_cases(folder: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of cases is readable") {
        let path = entry.expect("the folder of cases is readable").path();
        if path.is_dir() {
            cases.extend(read_cases(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            cases.push(Case::read(&path).expect("a case is valid"));
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}
