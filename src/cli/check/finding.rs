//! What is found, and how it is told.

use anyhow::bail;

use crate::telemetry::log::escaped;

/// Something that was looked at.
#[derive(Debug)]
pub(in crate::cli) struct Finding {
    subject: &'static str,
    verdict: Verdict,
    text: String,
    way_out: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Noteworthy,
    Wrong,
}

impl Finding {
    /// As it should be.
    pub(in crate::cli) fn good(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Good, text: text.into(), way_out: None }
    }

    /// Not wrong, but to be known.
    pub(in crate::cli) fn noteworthy(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Noteworthy, text: text.into(), way_out: None }
    }

    /// Not as it must be.
    pub(in crate::cli) fn wrong(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Wrong, text: text.into(), way_out: None }
    }

    /// What to do about it.
    pub(in crate::cli) fn way_out(mut self, text: impl Into<String>) -> Self {
        self.way_out = Some(text.into());
        self
    }

    /// Whether it is not as it must be.
    pub(in crate::cli) fn is_wrong(&self) -> bool {
        self.verdict == Verdict::Wrong
    }
}

/// Prints findings as they come, and counts what is wrong.
#[derive(Debug, Default)]
pub(in crate::cli) struct Report {
    wrong: usize,
}

impl Report {
    /// Tells of a finding.
    pub(in crate::cli) fn add(&mut self, finding: Finding) {
        self.wrong += usize::from(finding.is_wrong());
        let verdict = match finding.verdict {
            Verdict::Good => "ok",
            Verdict::Noteworthy => "note",
            Verdict::Wrong => "WRONG",
        };
        // Names of stored objects may come from anybody.
        println!("{verdict:<6}{}: {}", finding.subject, escaped(&finding.text));
        if let Some(way_out) = finding.way_out {
            println!("      -> {}", escaped(&way_out));
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
        match self.wrong {
            0 => {
                println!("everything that was looked at is as it should be");
                Ok(())
            }
            1 => bail!("one thing is wrong"),
            wrong => bail!("{wrong} things are wrong"),
        }
    }
}
