//! What tests expect of an answer.

use serde_json::Value;

use super::client::Answer;

/// Takes the body out of an answer that is the expected one, and panics with what came instead.
pub(crate) trait Expect {
    /// The body, if the answer has this code.
    fn is(&self, code: u16) -> Value;
    /// The body, if the answer is a `Status` with this code, reason and message.
    fn fails(&self, code: u16, reason: &str, message: &str) -> Value;
}

impl Expect for Answer {
    #[track_caller]
    fn is(&self, code: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, code, "{text}");
        self.json().unwrap_or_else(|why| panic!("{why}: {text}"))
    }

    #[track_caller]
    fn fails(&self, code: u16, reason: &str, message: &str) -> Value {
        let body = self.is(code);
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        assert_eq!((text("kind"), text("reason"), text("message")), ("Status", reason, message));
        body
    }
}
