//! Findings of a check and their report.

use anyhow::bail;

use crate::telemetry::log::escaped;

/// Result of one check.
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
    /// Passed check.
    pub(in crate::cli) fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Ok, text: text.into(), remedy: None }
    }

    /// Passed check with a fact that the operator should know.
    pub(in crate::cli) fn note(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Note, text: text.into(), remedy: None }
    }

    /// Failed check.
    pub(in crate::cli) fn problem(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Problem, text: text.into(), remedy: None }
    }

    /// Adds the remedy.
    pub(in crate::cli) fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedy = Some(text.into());
        self
    }

    /// Returns true for a failed check.
    pub(in crate::cli) fn is_problem(&self) -> bool {
        self.severity == Severity::Problem
    }
}

/// Report that prints findings and counts failed checks.
#[derive(Debug, Default)]
pub(in crate::cli) struct CheckReport {
    problems: usize,
}

impl CheckReport {
    /// Prints a finding.
    pub(in crate::cli) fn add(&mut self, finding: Finding) {
        self.problems += usize::from(finding.is_problem());
        let severity = match finding.severity {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Problem => "WRONG",
        };
        // Clients choose the names of stored objects.
        println!("{severity:<6}{}: {}", finding.subject, escaped(&finding.text));
        if let Some(remedy) = finding.remedy {
            println!("      -> {}", escaped(&remedy));
        }
    }

    /// Prints several findings.
    pub(in crate::cli) fn extend(&mut self, findings: Vec<Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Prints the result.
    ///
    /// # Errors
    /// At least one check failed.
    pub(in crate::cli) fn end(self) -> anyhow::Result<()> {
        match self.problems {
            0 => {
                println!("all checks passed");
                Ok(())
            }
            1 => bail!("1 check failed"),
            problems => bail!("{problems} checks failed"),
        }
    }
}
