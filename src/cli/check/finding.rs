//! What is found, and how it is told.

use anyhow::bail;

use crate::telemetry::log::escaped;

/// Something that was looked at.
#[derive(Debug)]
pub(in crate::cli) struct Finding {
    subject: &'static str,
    severity: Severity,
    text: String,
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Ok,
    Note,
    Problem,
}

impl Finding {
    /// As it should be.
    pub(in crate::cli) fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Ok, text: text.into(), remedy: None }
    }

    /// Not wrong, but to be known.
    pub(in crate::cli) fn note(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Note, text: text.into(), remedy: None }
    }

    /// Not as it must be.
    pub(in crate::cli) fn problem(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Problem, text: text.into(), remedy: None }
    }

    /// What to do about it.
    pub(in crate::cli) fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedy = Some(text.into());
        self
    }

    /// Whether it is not as it must be.
    pub(in crate::cli) fn is_problem(&self) -> bool {
        self.severity == Severity::Problem
    }
}

/// Prints findings as they come, and counts what is wrong.
#[derive(Debug, Default)]
pub(in crate::cli) struct CheckReport {
    problems: usize,
}

impl CheckReport {
    /// Tells of a finding.
    pub(in crate::cli) fn add(&mut self, finding: Finding) {
        self.problems += usize::from(finding.is_problem());
        let severity = match finding.severity {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Problem => "WRONG",
        };
        // Names of stored objects may come from anybody.
        println!("{severity:<6}{}: {}", finding.subject, escaped(&finding.text));
        if let Some(remedy) = finding.remedy {
            println!("      -> {}", escaped(&remedy));
        }
    }

    /// Tells of several findings.
    pub(in crate::cli) fn extend(&mut self, findings: Vec<Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Tells how it went.
    ///
    /// # Errors
    /// Something is wrong.
    pub(in crate::cli) fn end(self) -> anyhow::Result<()> {
        match self.problems {
            0 => {
                println!("everything that was looked at is as it should be");
                Ok(())
            }
            1 => bail!("one thing is wrong"),
            problems => bail!("{problems} things are wrong"),
        }
    }
}
