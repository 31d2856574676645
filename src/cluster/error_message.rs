//! Messages of errors of the client.

use std::error::Error;

use super::failure::Unanswered;

/// Message of an error and its causes, in one line. The message of a `Status` stands alone, and so
/// does that of a request without a response, which names the address.
pub fn error_message(error: &(dyn Error + 'static)) -> String {
    if let Some(kube::Error::Service(inner)) = error.downcast_ref() {
        // The library puts the name of its layer before the message.
        return error_message(&**inner);
    }
    let mut text = error.to_string();
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref() {
            return truncated(status.message.clone());
        }
        if cause.is::<Unanswered>() {
            return truncated(cause.to_string());
        }
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    truncated(text)
}

/// Limits the length: a server other than kube-apiserver may respond with a whole page.
fn truncated(mut text: String) -> String {
    const MAX_CHARS: usize = 600;
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}
