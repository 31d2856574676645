//! Check of the serving certificate: existence, validity and DNS names.

use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;
use crate::tls::{self, CertificateStatus};

const SUBJECT: &str = "serving certificate";
/// Remaining validity below which a certificate is reported.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Checks the certificate that the server would present.
pub(super) fn check(options: &tls::Options) -> Vec<Finding> {
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

fn lifetime(file: &str, ends: Timestamp) -> Finding {
    let left = ends.duration_since(Timestamp::now());
    if left.is_negative() {
        Finding::problem(SUBJECT, format!("{file} expired at {ends}"))
            .remedy("replace certificate and key")
    } else if left < EXPIRES_SOON {
        Finding::note(SUBJECT, format!("{file} is valid until {ends}"))
            .remedy("replace certificate and key soon")
    } else {
        Finding::ok(SUBJECT, format!("{file} is valid until {ends}"))
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
