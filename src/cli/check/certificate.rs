//! The serving certificate: whether there is one, how long it lasts, and whether it is for the Service.

use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;
use crate::tls::{self, Examined};

const SUBJECT: &str = "serving certificate";
/// A certificate that ends sooner than this is told of.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What would be shown to clients.
pub(super) fn check(options: &tls::Options) -> Vec<Finding> {
    let examined = match tls::examine(options) {
        Ok(examined) => examined,
        // These errors name the file and the way out themselves.
        Err(why) => return vec![Finding::wrong(SUBJECT, why.to_string())],
    };
    match examined {
        Examined::ToBeMade { file } => {
            let text = format!("the server makes {} when it starts", file.display());
            vec![Finding::noteworthy(SUBJECT, text)]
        }
        Examined::InSecret { secret } => {
            vec![Finding::noteworthy(SUBJECT, format!("it is in the Secret {secret}, which is not looked at here"))]
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
        Finding::wrong(SUBJECT, format!("{file} has ended at {ends}: every client refuses it"))
            .way_out("put a new pair there")
    } else if left < SOON {
        Finding::noteworthy(SUBJECT, format!("{file} is good until {ends}")).way_out("put a new pair there soon")
    } else {
        Finding::good(SUBJECT, format!("{file} is good until {ends}"))
    }
}

fn service(file: &str, names: &[String], missing: Option<String>) -> Finding {
    let names = names.join(", ");
    match missing {
        None => Finding::good(SUBJECT, format!("it is for {names}")),
        Some(needed) => Finding::wrong(SUBJECT, format!("{file} is for {names}, and not for {needed}")).way_out(
            "issue one with that subject alternative name (the common name does not count), or correct --service-name and \
             --service-namespace",
        ),
    }
}
