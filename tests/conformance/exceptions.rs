//! Known differences from the recordings: steps with the reason and the actual response. The
//! response of an exception is compared as strictly as a recording.

use std::{collections::BTreeSet, env, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::case::Case;

/// Reason for a different response.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// Deliberate difference, listed in `tests/conformance/README.md`.
    DeliberateDifference,
    /// Wording of another parser in the message.
    ParserWording,
    /// Feature not implemented yet.
    LaterIssue,
    /// Missing reason. `exceptions.json` must not contain it.
    #[serde(rename = "TODO")]
    Todo,
}

/// Step whose response differs from the recording.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exception {
    pub(crate) case: String,
    /// Number of the step, counted from one.
    pub(crate) step: usize,
    pub(crate) reason: Reason,
    /// Explanation for readers.
    pub(crate) why: String,
    /// The storage backend of the servers that differ; none for all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) storage: Option<Storage>,
    /// Timeout in seconds that ends a watch which the reference refuses. It is added to the request.
    #[serde(rename = "timeoutSeconds", skip_serializing_if = "Option::is_none", default)]
    pub(crate) watch_seconds: Option<u8>,
    /// Actual response, in the form of a recorded response.
    pub(crate) answer: Value,
}

/// Storage backend of a server.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Storage {
    Embedded,
    Etcd3,
}

impl Storage {
    /// Backend of the servers of this run, see `support/server.rs`.
    fn of_run() -> Self {
        match env::var_os("TEST_ETCD_SERVERS") {
            None => Self::Embedded,
            Some(_) => Self::Etcd3,
        }
    }
}

/// Accepted exceptions; none by default.
#[derive(Default)]
pub(crate) struct Exceptions(Vec<Exception>);

impl Exceptions {
    /// Reads the file. Exceptions without a reason and duplicates for one step are errors.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let Self(mut all) =
            Self::parse(&text).with_context(|| format!("reading {}", path.display()))?;
        let storage = Storage::of_run();
        all.retain(|each| each.storage.is_none_or(|differing| differing == storage));
        Ok(Self(all))
    }

    fn parse(text: &str) -> Result<Self> {
        let all: Vec<Exception> = serde_json::from_str(text)?;
        let mut steps = BTreeSet::new();
        for Exception { case, step, reason, why, .. } in &all {
            let reasoned =
                *reason != Reason::Todo && !why.trim().is_empty() && !why.contains("TODO");
            ensure!(reasoned, "{case} step {step}: this exception needs a reason");
            ensure!(steps.insert((case, step)), "{case} step {step}: this step has two exceptions");
        }
        Ok(Self(all))
    }

    /// Writes exceptions in the form that [`Exceptions::read`] reads.
    pub(crate) fn write(path: &Path, exceptions: &[Exception]) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(exceptions)? + "\n")
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Exception for a step, if any.
    pub(crate) fn find(&self, case: &str, step: usize) -> Option<&Exception> {
        self.0.iter().find(|each| each.case == case && each.step == step)
    }

    /// Exceptions for steps that no case has. Exceptions for missing cases count with
    /// [`MissingCase::Refused`] only.
    pub(crate) fn without_step(&self, cases: &[Case], missing_case: MissingCase) -> Vec<String> {
        let stray = |each: &&Exception| match cases.iter().find(|case| case.name == each.case) {
            Some(case) => !(1..=case.steps.len()).contains(&each.step),
            None => missing_case == MissingCase::Refused,
        };
        let line = |each: &Exception| {
            format!("{} step {}: an exception for a missing step", each.case, each.step)
        };
        self.0.iter().filter(stray).map(line).collect()
    }
}

/// Handling of an exception for a missing case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingCase {
    /// All cases were read: a missing case is an error.
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
