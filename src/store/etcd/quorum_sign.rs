//! The last sign that a quorum of etcd answers.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::CallError;

/// The time after an answer for which more answers are expected.
const EXPECTED: Duration = Duration::from_secs(1);

/// The time of the last answer of a quorum; none if a call has failed since.
#[derive(Debug, Default)]
pub(super) struct QuorumSign(Mutex<Option<Instant>>);

impl QuorumSign {
    /// Records the result of a call that needs a quorum, and returns it.
    pub(super) fn record<T>(&self, result: Result<T, CallError>) -> Result<T, CallError> {
        let has_failed = matches!(result, Err(CallError::Failed(_)));
        *self.0.lock() = (!has_failed).then(Instant::now);
        result
    }

    /// Returns true if the last call succeeded, not long ago.
    pub(super) fn is_expected(&self) -> bool {
        self.0.lock().is_some_and(|answered| answered.elapsed() < EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_ends_the_expectation_of_answers() {
        let quorum = QuorumSign::default();
        assert!(!quorum.is_expected());
        let results = [
            (Ok(()), true),
            (Err(CallError::other("no answer")), false),
            (Err(CallError::NoSpace), true),
        ];
        for (result, is_expected) in results {
            let _ = quorum.record(result);
            assert_eq!(quorum.is_expected(), is_expected);
        }
    }

    #[test]
    fn old_answer_is_no_sign() {
        let past = Instant::now().checked_sub(EXPECTED).expect("the machine runs for a second");
        assert!(!QuorumSign(Mutex::new(Some(past))).is_expected());
    }
}
