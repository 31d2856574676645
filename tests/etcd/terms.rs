//! Terms of a controller, as the logs of servers tell them.

use jiff::Timestamp;
use serde_json::Value;

use crate::support::process::ServerProcess;
use crate::support::server::TestServer;

/// Controller whose terms tests follow.
pub(crate) const CONTROLLER: &str = "image-import";
const BEGIN: &str = "controller started: this replica is elected";
const END: &str = "controller stopped: ";

/// A term of one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServedTerm {
    pub(crate) process: u32,
    pub(crate) from: Timestamp,
    /// `None` if it has not ended.
    pub(crate) to: Option<Timestamp>,
}

/// The terms in the log of the current process of a server.
pub(crate) fn terms(server: &ServerProcess) -> Vec<ServedTerm> {
    let mut terms: Vec<ServedTerm> = Vec::new();
    for line in server.log() {
        let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
        if line["controller"] != CONTROLLER {
            continue;
        }
        let at = line["timestamp"].as_str().and_then(|text| text.parse().ok());
        let at: Timestamp = at.expect("a line has a time");
        let message = line["message"].as_str().unwrap_or_default();
        if message == BEGIN {
            terms.push(ServedTerm { process: server.id(), from: at, to: None });
        } else if message.starts_with(END) {
            terms.last_mut().expect("a term has begun").to = Some(at);
        }
    }
    terms
}

/// Panics if two processes were elected at the same time.
pub(crate) fn assert_never_two(mut terms: Vec<ServedTerm>) {
    terms.sort_by_key(|term| term.from);
    for pair in terms.windows(2) {
        let [first, second] = pair else { unreachable!("windows have two terms") };
        let is_over = first.to.is_some_and(|to| to <= second.from);
        assert!(is_over, "process {} has a term beside {first:?}", second.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(process: u32, from: i64, to: Option<i64>) -> ServedTerm {
        let at = |second| Timestamp::from_second(second).expect("it is a time");
        ServedTerm { process, from: at(from), to: to.map(at) }
    }

    #[test]
    fn terms_one_after_the_other_are_valid() {
        assert_never_two(vec![term(2, 3, None), term(1, 1, Some(3))]);
    }

    #[test]
    #[should_panic(expected = "process 2")]
    fn terms_at_the_same_time_are_not() {
        assert_never_two(vec![term(1, 1, Some(4)), term(2, 3, None)]);
    }

    #[test]
    #[should_panic(expected = "process 2")]
    fn term_without_an_end_excludes_others() {
        assert_never_two(vec![term(1, 1, None), term(2, 3, None)]);
    }
}
