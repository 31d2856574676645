//! Messages of errors of the client.

use std::error::Error;

/// Message of an error and its causes, in one line. The message of a `Status` stands alone.
pub fn error_message(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref() {
            return truncated(status.message.clone());
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
