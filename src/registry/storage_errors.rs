//! Store failures as Status errors.

use crate::meta::{Status, StatusCause, StatusDetails};
use crate::store::{StoreError, WatchError};

/// The Status for a store failure. Causes that a client cannot act on are only logged.
pub fn status_of(error: &StoreError) -> Status {
    match error {
        StoreError::Compacted { .. } => {
            Status::expired("The resourceVersion for the provided list is too old.")
        }
        StoreError::Future { requested, current } => {
            let text =
                format!("Timeout: Too large resource version: {requested}, current: {current}");
            let causes = vec![StatusCause {
                reason: "ResourceVersionTooLarge".into(),
                message: "Too large resource version".into(),
                field: String::new(),
            }];
            Status::timeout(text)
                .with_details(StatusDetails { causes, ..StatusDetails::default() })
                .retry_after(1)
        }
        StoreError::Invalid { reason } => Status::bad_request(reason.clone()),
        StoreError::Full { .. } => {
            let text = "the server's storage is full: nothing was written; make room on its volume and try again";
            let mut status = Status::failure(507, "InsufficientStorage", text);
            status.hidden = Some(error.to_string());
            status
        }
        // Only without a limiter, which computes the time to wait.
        StoreError::AccountFull { .. } => {
            Status::failure(429, "TooManyRequests", error.to_string()).retry_after(60)
        }
        StoreError::Damaged { .. } => {
            let mut status =
                Status::failure(500, "InternalError", format!("Internal error occurred: {error}"));
            status.hidden = Some(error.to_string());
            status
        }
        StoreError::Unavailable(_) => {
            let text = "the server's storage failed: check whether a write took effect before you retry it";
            let mut status = Status::unavailable(text);
            status.hidden = Some(error.to_string());
            status
        }
        StoreError::Closed => Status::unavailable("apiserver is shutting down"),
        other => Status::hidden(other),
    }
}

/// The Status for the end of a watch.
pub fn status_of_watch_error(why: WatchError) -> Status {
    match why {
        WatchError::Compacted { requested, compacted } => {
            Status::expired(format!("too old resource version: {requested} ({compacted})"))
        }
        WatchError::Store(error) => status_of(&error),
        WatchError::Closed => status_of(&StoreError::Closed),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;
    use crate::store::{Key, Revision};

    #[test]
    fn full_failed_and_damaged_stores_have_different_statuses() {
        let status = |error: StoreError| status_of(&error);
        let full = status(StoreError::Full { reason: "1 byte is free in /data".into() });
        assert_eq!((full.code, full.reason.as_str()), (507, "InsufficientStorage"));
        assert!(
            full.message.contains("full") && !full.message.contains("/data"),
            "{}",
            full.message
        );
        let failed =
            status(StoreError::Unavailable(Arc::new(io::Error::other("no disk in /data"))));
        assert_eq!((failed.code, failed.reason.as_str()), (503, "ServiceUnavailable"));
        assert!(failed.details.is_some_and(|details| details.retry_after_seconds > 0));
        assert!(
            !failed.message.contains("/data")
                && failed.hidden.is_some_and(|text| text.contains("/data"))
        );
        let damaged =
            status(StoreError::Damaged { key: Key::new("/images/a"), revision: Revision(7) });
        assert_eq!((damaged.code, damaged.reason.as_str()), (500, "InternalError"));
        assert!(damaged.message.contains("/images/a") && damaged.hidden.is_some());
    }
}
