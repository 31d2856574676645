//! Check of the serving certificate: existence, validity and DNS names.

use jiff::Timestamp;

use super::finding::Finding;
use crate::tls::{self, CertificateError, CertificateStatus, Lifetime};

const SUBJECT: &str = "serving certificate";

/// Checks the certificate that the server would present, and its CA if the server has created it.
pub(super) fn check(options: &tls::Options) -> Vec<Finding> {
    let mut findings = pair(options);
    match tls::self_made_ca(options) {
        Ok(None) => {}
        Ok(Some((file, expires))) => findings.push(authority(&file.display().to_string(), expires)),
        // Errors of the flags are reported for the pair.
        Err(CertificateError::Flags(_)) => {}
        Err(why) => findings.push(Finding::problem(SUBJECT, why.to_string())),
    }
    findings
}

fn authority(file: &str, expires: Timestamp) -> Finding {
    const RENEWED: &str = "a running server renews it: start the server";
    match Lifetime::of(expires, Timestamp::now()) {
        Lifetime::Over => {
            Finding::problem(SUBJECT, format!("{file} expired at {expires}")).remedy(RENEWED)
        }
        Lifetime::EndsSoon => {
            Finding::note(SUBJECT, format!("{file} is valid until {expires}")).remedy(RENEWED)
        }
        Lifetime::Long => Finding::ok(SUBJECT, format!("{file} is valid until {expires}")),
    }
}

fn pair(options: &tls::Options) -> Vec<Finding> {
    let examined = match tls::inspect(options) {
        Ok(examined) => examined,
        // These errors name the file and the remedy.
        Err(why) => return vec![Finding::problem(SUBJECT, why.to_string())],
    };
    match examined {
        CertificateStatus::Pending { file } => {
            let text = format!("the server creates {} at start", file.display());
            vec![Finding::note(SUBJECT, text)]
        }
        CertificateStatus::InSecret { secret } => {
            let text =
                format!("the Secret {secret} holds the certificate; this command does not read it");
            vec![Finding::note(SUBJECT, text)]
        }
        CertificateStatus::Pair { file, expires, names, missing } => {
            let file = file.display().to_string();
            vec![lifetime(&file, expires), service(&file, &names, missing)]
        }
    }
}

fn lifetime(file: &str, expires: Timestamp) -> Finding {
    match Lifetime::of(expires, Timestamp::now()) {
        Lifetime::Over => Finding::problem(SUBJECT, format!("{file} expired at {expires}"))
            .remedy("replace certificate and key"),
        Lifetime::EndsSoon => Finding::note(SUBJECT, format!("{file} is valid until {expires}"))
            .remedy("replace certificate and key soon"),
        Lifetime::Long => Finding::ok(SUBJECT, format!("{file} is valid until {expires}")),
    }
}

fn service(file: &str, names: &[String], missing: Option<String>) -> Finding {
    let names = names.join(", ");
    match missing {
        None => Finding::ok(SUBJECT, format!("it is issued for {names}")),
        Some(needed) => Finding::problem(SUBJECT, format!("{file} is for {names}, and not for {needed}")).remedy(
            "issue one with that subject alternative name (the common name does not count), or correct \
                  --service-name and --service-namespace",
        ),
    }
}
