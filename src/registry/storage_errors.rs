//! Store failures as Status errors.

use crate::meta::{GroupResource, Status, StatusCause, StatusDetails};
use crate::store::{Key, Revision, StoreError, WatchError};

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
        StoreError::TooLarge { .. } => {
            Status::failure(413, "RequestEntityTooLarge", error.to_string())
        }
        StoreError::OutcomeUnknown(_) => {
            let text = "the server's storage has not confirmed the write in time, which may take effect or not: read the object before you retry";
            let mut status = Status::timeout(text.to_owned());
            status.hidden = Some(error.to_string());
            status
        }
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
            let text = format!("Internal error occurred: {error}; {REMEDY}");
            let mut status = Status::failure(500, "InternalError", text);
            status.hidden = Some(error.to_string());
            status
        }
        StoreError::Unavailable(_) => {
            let text = "the server's storage failed: check whether a write took effect before you retry it";
            let mut status = Status::unavailable(text);
            status.hidden = Some(error.to_string());
            status
        }
        StoreError::Unreachable(_) => {
            let text = "the server's storage cannot be reached: nothing was written; try again";
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

/// The most damaged objects that one Status names, as in kube-apiserver.
pub(crate) const MAX_NAMED: usize = 100;

/// The Status for a list under a prefix with damaged objects; as `NewAPIStatusError` of corrupt
/// objects in k8s.io/apiserver/pkg/storage/etcd3.
pub(crate) fn unreadable(prefix: &str, damaged: &[(Key, Revision)]) -> Status {
    let mut parts = prefix.trim_start_matches('/').split('/');
    let resource = GroupResource {
        group: parts.next().unwrap_or_default(),
        name: parts.next().unwrap_or_default(),
    };
    let causes: Vec<StatusCause> = damaged
        .iter()
        .take(MAX_NAMED)
        .map(|(key, revision)| StatusCause {
            reason: "UnexpectedServerResponse".into(),
            message: StoreError::Damaged { key: key.clone(), revision: *revision }.to_string(),
            field: key.as_str().into(),
        })
        .collect();
    const SHOWN: usize = 3;
    let names: Vec<&str> = damaged.iter().take(SHOWN).map(|(key, _)| key.as_str()).collect();
    let more = if damaged.len() > SHOWN { " and more" } else { "" };
    let text = format!(
        "failed to read one or more {resource} from the storage: {}{more}; {REMEDY}",
        names.join(", ")
    );
    let mut status =
        Status::failure(500, "StorageReadError", text.clone()).with_details(StatusDetails {
            name: "list".into(),
            group: resource.group.into(),
            kind: resource.name.into(),
            causes,
            ..StatusDetails::default()
        });
    if damaged.len() > MAX_NAMED
        && let Some(details) = &mut status.details
    {
        details.causes.push(StatusCause {
            reason: "FieldValueTooMany".into(),
            message: "too many errors, the list is truncated".into(),
            field: String::new(),
        });
    }
    status.hidden = Some(text);
    status
}

/// The ways out for damaged values.
const REMEDY: &str =
    "delete it with ignoreStoreReadErrorWithClusterBreakingPotential, or restore a backup";

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

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
        let cause = || Arc::new(io::Error::other("no route to etcd-0"));
        let unreachable = status(StoreError::Unreachable(cause()));
        assert_eq!(unreachable.code, 503);
        assert!(unreachable.message.contains("nothing was written"), "{}", unreachable.message);
        let unknown = status(StoreError::OutcomeUnknown(cause()));
        assert_eq!((unknown.code, unknown.reason.as_str()), (504, "Timeout"));
        assert!(unknown.message.contains("may take effect or not"), "{}", unknown.message);
        let large = status(StoreError::TooLarge { reason: "the most is 127".into() });
        assert_eq!((large.code, large.message.contains("127")), (413, true));
        let damaged =
            status(StoreError::Damaged { key: Key::new("/images/a"), revision: Revision(7) });
        assert_eq!((damaged.code, damaged.reason.as_str()), (500, "InternalError"));
        assert!(damaged.message.contains("/images/a") && damaged.hidden.is_some());
    }

    #[test]
    fn list_names_at_most_a_hundred_damaged_objects() {
        let prefix = "/image.openshift.io/imagestreams/ns/";
        let damaged = |count: u64| -> Vec<(Key, Revision)> {
            (0..count).map(|n| (Key::new(format!("{prefix}{n:03}")), Revision(n))).collect()
        };
        let causes = |count| unreadable(prefix, &damaged(count)).details.unwrap().causes;
        assert_eq!(causes(100).len(), 100);
        let many = causes(102);
        assert_eq!((many.len(), many[0].field.as_str()), (101, &*format!("{prefix}000")));
        assert_eq!(many[100].reason, "FieldValueTooMany");
        let status = unreadable(prefix, &damaged(5));
        assert_eq!((status.code, status.reason.as_str()), (500, "StorageReadError"));
        let start = "failed to read one or more imagestreams.image.openshift.io from the storage: ";
        assert!(status.message.starts_with(start) && status.message.contains(" and more; "));
    }
}
