//! The serving certificate: whether there is one, how long it lasts, and whether it is for the Service.

use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;
use crate::tls::{self, Examined};

const SUBJECT: &str = "serving certificate";
/// A certificate that ends sooner than this is told of.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What would be shown to clients.
pub(super) fn check(options: &tls::Options) -> Vec<Finding> {
    let examined = match tls::examine(options) {
        Ok(examined) => examined,
        // These errors name the file and the way out themselves.
        Err(why) => return vec![Finding::problem(SUBJECT, why.to_string())],
    };
    match examined {
        Examined::ToBeMade { file } => {
            let text = format!("the server makes {} when it starts", file.display());
            vec![Finding::note(SUBJECT, text)]
        }
        Examined::InSecret { secret } => {
            vec![Finding::note(SUBJECT, format!("it is in the Secret {secret}, which is not looked at here"))]
        }
        Examined::Pair { file, ends, names, missing } => {
            let file = file.display().to_string();
            vec![lifetime(&file, ends), service(&file, &names, missing)]
        }
    }
}

fn lifetime(file: &str, ends: Timestamp) -> Finding {
    let left = ends.duration_since(Timestamp::now());
    if left.is_negative() {
        Finding::problem(SUBJECT, format!("{file} has ended at {ends}: every client refuses it"))
            .remedy("put a new pair there")
    } else if left < EXPIRES_SOON {
        Finding::note(SUBJECT, format!("{file} is good until {ends}")).remedy("put a new pair there soon")
    } else {
        Finding::ok(SUBJECT, format!("{file} is good until {ends}"))
    }
}

fn service(file: &str, names: &[String], missing: Option<String>) -> Finding {
    let names = names.join(", ");
    match missing {
        None => Finding::ok(SUBJECT, format!("it is for {names}")),
        Some(needed) => Finding::problem(SUBJECT, format!("{file} is for {names}, and not for {needed}")).remedy(
            "issue one with that subject alternative name (the common name does not count), or correct --service-name and \
             --service-namespace",
        ),
    }
}
