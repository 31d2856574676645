//! The steps whose recorded answer is known not to be ours: why, and what we answer instead. An exception is a promise
//! like the recording that it replaces, so it is compared as strictly.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::case::Case;

/// Why an answer differs.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// A deliberate difference, listed in `tests/conformance/README.md`.
    DeliberateDifference,
    /// The message carries the wording of a parser that we do not use.
    ParserWording,
    /// Not there yet.
    LaterIssue,
    /// Nobody said why so far. Not accepted in the file of the repository.
    #[serde(rename = "TODO")]
    Todo,
}

/// One step that is not answered as recorded.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exception {
    pub(crate) case: String,
    /// Counted from one.
    pub(crate) step: usize,
    pub(crate) reason: Reason,
    /// A sentence for the reader.
    pub(crate) why: String,
    /// Our answer, in the form of a recorded response.
    pub(crate) answer: Value,
}

/// The exceptions that are accepted; none by default.
#[derive(Default)]
pub(crate) struct Exceptions(Vec<Exception>);

impl Exceptions {
    /// Reads the file and refuses an exception without a reason and two exceptions for one step.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("reading {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let all: Vec<Exception> = serde_json::from_str(text)?;
        let mut steps = BTreeSet::new();
        for Exception { case, step, reason, why, .. } in &all {
            let reasoned =
                *reason != Reason::Todo && !why.trim().is_empty() && !why.contains("TODO");
            ensure!(
                reasoned,
                "{case} step {step}: the reason of this exception is still to be said"
            );
            ensure!(
                steps.insert((case, step)),
                "{case} step {step}: there are two exceptions for this step"
            );
        }
        Ok(Self(all))
    }

    /// Writes exceptions in the form that [`Exceptions::read`] reads.
    pub(crate) fn write(path: &Path, exceptions: &[Exception]) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(exceptions)? + "\n")
            .with_context(|| format!("writing {}", path.display()))
    }

    /// The exception for a step, if there is one.
    pub(crate) fn find(&self, case: &str, step: usize) -> Option<&Exception> {
        self.0.iter().find(|each| each.case == case && each.step == step)
    }

    /// The exceptions that name a step that no case has; those for a case that is not there count with [`MissingCase::Refused`] only.
    pub(crate) fn without_step(&self, cases: &[Case], missing_case: MissingCase) -> Vec<String> {
        let stray = |each: &&Exception| match cases.iter().find(|case| case.name == each.case) {
            Some(case) => !(1..=case.steps.len()).contains(&each.step),
            None => missing_case == MissingCase::Refused,
        };
        let line = |each: &Exception| {
            format!("{} step {}: an exception for a step that is not there", each.case, each.step)
        };
        self.0.iter().filter(stray).map(line).collect()
    }
}

/// What to think of an exception for a case that is not among those that were read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingCase {
    /// All cases were read: it is a mistake.
    Refused,
    /// Only some cases were read.
    Accepted,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exception(step: usize, reason: &str, why: &str) -> Value {
        json!({"case": "area/case", "step": step, "reason": reason, "why": why, "answer": {"status": 200}})
    }

    fn parsed(exceptions: Value) -> Result<Exceptions> {
        Exceptions::parse(&exceptions.to_string())
    }

    #[test]
    fn an_exception_needs_a_known_reason_and_a_sentence() {
        assert!(parsed(json!([exception(1, "parser-wording", "Another parser.")])).is_ok());
        for (reason, why) in
            [("TODO", "So."), ("later-issue", ""), ("later-issue", "TODO: say"), ("whim", "So.")]
        {
            assert!(parsed(json!([exception(1, reason, why)])).is_err(), "{reason:?} {why:?}");
        }
    }

    #[test]
    fn a_step_has_one_exception_at_most() {
        let twice =
            json!([exception(1, "later-issue", "So."), exception(1, "parser-wording", "So.")]);
        assert!(parsed(twice).is_err());
    }

    #[test]
    fn an_exception_for_a_step_or_case_that_is_not_there_is_told() {
        let case = |name: &str| -> Case {
            let step = json!({"request": {"method": "GET", "path": "/"}});
            serde_json::from_value(json!({"name": name, "about": "", "steps": [step]})).unwrap()
        };
        let exceptions =
            parsed(json!([exception(1, "later-issue", "So."), exception(2, "later-issue", "So.")]))
                .unwrap();
        assert_eq!(exceptions.without_step(&[case("area/case")], MissingCase::Refused).len(), 1);
        assert_eq!(exceptions.without_step(&[case("area/other")], MissingCase::Refused).len(), 2);
        assert_eq!(exceptions.without_step(&[case("area/other")], MissingCase::Accepted).len(), 0);
    }
}
