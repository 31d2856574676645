//! What the failures of a store mean to a client.

use crate::meta::{Cause, Details, Status};
use crate::store::StoreError;

/// The status that tells a client of a failure; its cause stays in the log where the client cannot mend it.
pub fn status_of(error: &StoreError) -> Status {
    match error {
        StoreError::Compacted { .. } => Status::expired("The resourceVersion for the provided list is too old."),
        StoreError::Future { requested, current } => {
            let text = format!("Timeout: Too large resource version: {requested}, current: {current}");
            let causes = vec![Cause {
                reason: "ResourceVersionTooLarge".into(),
                message: "Too large resource version".into(),
                field: String::new(),
            }];
            Status::timeout(text).with_details(Details { causes, ..Details::default() }).retry_after(1)
        }
        StoreError::Invalid { reason } => Status::bad_request(reason.clone()),
        StoreError::Full { .. } => {
            let mut status =
                Status::failure(507, "InsufficientStorage", "the server's storage is full: nothing was written");
            status.hidden = Some(error.to_string());
            status
        }
        StoreError::Damaged { .. } => {
            let mut status = Status::failure(500, "InternalError", format!("Internal error occurred: {error}"));
            status.hidden = Some(error.to_string());
            status
        }
        other => Status::hidden(other),
    }
}
