//! Expectations of responses.

use serde_json::Value;

use super::client::Answer;

/// Assertions that return the body of an expected response. Each panics with the response if it is
/// another one.
pub(crate) trait Expect {
    /// Returns the body of a response with this code.
    fn is(&self, code: u16) -> Value;
    /// Returns the body of a `Status` response with this code, reason and message.
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
