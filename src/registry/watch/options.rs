//! The options of a watch: start, duration and bookmarks.

use std::time::Duration;

use crate::meta::{Status, field};
use crate::registry::options::ListOptions;
use crate::registry::page::{invalid_options, parse_version};
use crate::store::Revision;

/// The maximum duration of a watch.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);
/// The minimum duration of a watch without a timeout: `minRequestTimeout` of
/// k8s.io/apiserver/pkg/endpoints/handlers/get.go. The maximum is twice this value.
const MIN_DEFAULT_DURATION: Duration = Duration::from_secs(30 * 60);

/// The options of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WatchOptions {
    /// The first event.
    pub(crate) start: WatchStart,
    /// Selects whether bookmarks report progress.
    pub(crate) bookmarks: Bookmarks,
    /// The requested duration; none for one that the server chooses.
    pub(crate) timeout: Option<Duration>,
}

/// The first event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchStart {
    /// The existing objects, at a revision of at least `at_least`.
    InitialEvents {
        /// The minimum revision; 0 for any.
        at_least: Revision,
        /// The end of the initial events.
        end: InitialEventsEnd,
    },
    /// The next event.
    Now,
    /// The first event after a revision, which may lie in the future.
    After(Revision),
}

/// The end of the initial events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitialEventsEnd {
    /// No event.
    Silent,
    /// A bookmark with the annotation `k8s.io/initial-events-end`.
    Bookmark,
}

/// Selects whether a watch sends bookmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bookmarks {
    /// No bookmarks.
    Never,
    /// Periodic bookmarks, and one at the end.
    Sent,
}

impl WatchOptions {
    /// Reads the options of a watch.
    ///
    /// # Errors
    /// 400 for malformed values, 422 for invalid combinations.
    pub(crate) fn read(options: &ListOptions) -> Result<Self, Status> {
        let seconds =
            u64::try_from(options.timeout_seconds.unwrap_or_default()).unwrap_or_default();
        let initial_events = options.send_initial_events;
        let errors =
            errors(initial_events, &options.resource_version_match, &options.continue_token);
        if !errors.is_empty() {
            return Err(invalid_options(&errors));
        }
        let version = match options.resource_version.as_str() {
            "" => Revision(0),
            text => parse_version(text).map_err(Status::bad_request)?,
        };
        let bookmarks =
            if options.allow_watch_bookmarks { Bookmarks::Sent } else { Bookmarks::Never };
        let start = match initial_events {
            Some(true) => {
                let end = if bookmarks == Bookmarks::Sent {
                    InitialEventsEnd::Bookmark
                } else {
                    InitialEventsEnd::Silent
                };
                WatchStart::InitialEvents { at_least: version, end }
            }
            _ if version > Revision(0) => WatchStart::After(version),
            Some(false) => WatchStart::Now,
            None => WatchStart::InitialEvents { at_least: version, end: InitialEventsEnd::Silent },
        };
        let timeout = (seconds > 0).then(|| Duration::from_secs(seconds).min(MAX_DURATION));
        Ok(Self { start, bookmarks, timeout })
    }

    /// The duration of the watch. The default is random, so that clients do not all reconnect at
    /// once.
    ///
    /// `chance` is a random number.
    pub(crate) fn duration(&self, chance: u64) -> Duration {
        self.timeout.unwrap_or_else(|| {
            MIN_DEFAULT_DURATION
                + Duration::from_millis(chance % 1000 * MIN_DEFAULT_DURATION.as_secs())
        })
    }
}

fn errors(initial_events: Option<bool>, r#match: &str, token: &str) -> field::Errors {
    const NAME: &str = "resourceVersionMatch";
    const ONLY: &str = "NotOlderThan";
    let mut errors = field::Errors::default();
    if initial_events.is_some() && r#match != ONLY {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push_with(|| field::Error::forbidden(NAME, why));
    }
    if r#match.is_empty() {
        return errors;
    }
    if initial_events.is_none() {
        let why =
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        errors.push_with(|| field::Error::forbidden(NAME, why));
    }
    if r#match != ONLY {
        errors.push_with(|| field::Error::unsupported(NAME, r#match, &[ONLY]));
    }
    if !token.is_empty() {
        errors.push_with(|| {
            field::Error::forbidden(
                NAME,
                "resourceVersionMatch is forbidden when continue is provided",
            )
        });
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machinery::query::Query;

    fn read(query: &str) -> Result<WatchOptions, Status> {
        WatchOptions::read(&ListOptions::read(&Query::parse(Some(query)))?)
    }

    #[test]
    fn query_selects_the_first_event() {
        let start = |query: &str| read(query).unwrap().start;
        let state = |at_least, end| WatchStart::InitialEvents { at_least: Revision(at_least), end };
        assert_eq!(start(""), state(0, InitialEventsEnd::Silent));
        assert_eq!(start("resourceVersion=0"), state(0, InitialEventsEnd::Silent));
        assert_eq!(start("resourceVersion=7"), WatchStart::After(Revision(7)));
        let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(
            start(&format!("{initial}&resourceVersion=7")),
            state(7, InitialEventsEnd::Silent)
        );
        assert_eq!(
            start(&format!("{initial}&allowWatchBookmarks=1")),
            state(0, InitialEventsEnd::Bookmark)
        );
        let empty = "sendInitialEvents=&resourceVersionMatch=NotOlderThan";
        assert_eq!(start(empty), state(0, InitialEventsEnd::Silent), "an empty value is true");
        let none = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
        assert_eq!(start(none), WatchStart::Now);
        assert_eq!(start(&format!("{none}&resourceVersion=7")), WatchStart::After(Revision(7)));
    }

    #[test]
    fn default_duration_is_30_to_60_minutes() {
        let minutes =
            |query: &str, chance| read(query).unwrap().duration(chance).as_secs_f64() / 60.0;
        assert_eq!(minutes("", 0), 30.0);
        assert!(minutes("timeoutSeconds=0", 999) > 59.0 && minutes("", u64::MAX) < 60.0);
        assert_eq!(minutes("timeoutSeconds=120", 5), 2.0);
        assert_eq!(minutes("timeoutSeconds=9223372036854775807", 5), 24.0 * 60.0);
    }

    #[test]
    fn all_invalid_combinations_are_reported() {
        let fields = |query: &str| read(query).unwrap_err().details.unwrap().causes.len();
        assert_eq!(fields("sendInitialEvents=1&resourceVersionMatch=Exact"), 2);
        assert_eq!(fields("resourceVersionMatch=NotOlderThan&continue=x"), 2);
    }

    proptest::proptest! {
        #[test]
        fn no_query_panics(text in ".*") {
            let _ = read(&text);
            let _ = read(&format!("resourceVersion={text}&timeoutSeconds={text}"));
        }
    }
}
