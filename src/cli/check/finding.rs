//! Findings of a check and their report.

use anyhow::bail;
use serde::Serialize;

use crate::cli::stdout::print_line;
use crate::machinery::json;
use crate::telemetry::log::escaped;

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Finding {
    subject: &'static str,
    #[serde(rename = "result")]
    severity: Severity,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
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

/// Form of the report on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum ReportFormat {
    /// A line for each check, and one for its remedy.
    #[default]
    Text,
    /// One JSON object of kind CheckReport.
    Json,
}

/// Report that prints findings and counts failed checks.
#[derive(Debug, Default)]
pub(in crate::cli) struct CheckReport {
    format: ReportFormat,
    problems: usize,
    /// All findings, for JSON.
    findings: Vec<Finding>,
}

/// The report as JSON. A change of a field changes the version.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonReport {
    api_version: &'static str,
    kind: &'static str,
    passed: bool,
    findings: Vec<Finding>,
}

impl CheckReport {
    /// Empty report.
    pub(in crate::cli) fn new(format: ReportFormat) -> Self {
        Self { format, ..Self::default() }
    }

    /// Prints a finding, or keeps it for the end.
    pub(in crate::cli) fn add(&mut self, finding: Finding) {
        self.problems += usize::from(finding.is_problem());
        match self.format {
            ReportFormat::Text => finding.print(),
            ReportFormat::Json => self.findings.push(finding),
        }
    }

    /// Adds several findings.
    pub(in crate::cli) fn extend(&mut self, findings: Vec<Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Prints the result.
    ///
    /// # Errors
    /// At least one check failed.
    pub(in crate::cli) fn end(self) -> anyhow::Result<()> {
        let Self { format, problems, findings } = self;
        match format {
            ReportFormat::Text if problems == 0 => print_line(format_args!("all checks passed")),
            ReportFormat::Text => {}
            ReportFormat::Json => {
                let report = JsonReport {
                    api_version: "imagestream-apiserver/v1",
                    kind: "CheckReport",
                    passed: problems == 0,
                    findings,
                };
                let text = json::indent(&json::encode(&report));
                print_line(format_args!("{}", String::from_utf8_lossy(&text)));
            }
        }
        match problems {
            0 => Ok(()),
            1 => bail!("1 check failed"),
            problems => bail!("{problems} checks failed"),
        }
    }
}

impl Finding {
    fn print(&self) {
        let severity = match self.severity {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Problem => "WRONG",
        };
        // Clients choose the names of stored objects.
        print_line(format_args!("{severity:<6}{}: {}", self.subject, escaped(&self.text)));
        if let Some(remedy) = &self.remedy {
            print_line(format_args!("      -> {}", escaped(remedy)));
        }
    }
}
