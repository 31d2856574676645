//! The options of a watch: where it begins, how long it lasts, and whether it tells how far it has come.

use std::time::Duration;

use crate::meta::{Status, field};
use crate::registry::options::ListOptions;
use crate::registry::page::{invalid_options, parse_version};
use crate::store::Revision;

/// The longest that a watch may last, whatever it asks for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest that a watch lasts that asks for nothing; it ends within twice this time.
const USUAL: Duration = Duration::from_secs(30 * 60);

/// How a client wants to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where to begin.
    pub(crate) start: Start,
    /// Whether to tell how far the watch has come while nothing happens.
    pub(crate) bookmarks: Bookmarks,
    /// How long to watch; none for a time of the server's choice.
    pub(crate) timeout: Option<Duration>,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With all that is there, which must not be older than a revision.
    State {
        /// That revision; 0 for any.
        at_least: Revision,
        /// Whether a bookmark says when all is told.
        end: End,
    },
    /// With what happens from now on.
    Now,
    /// With what happened after a revision, be it in the past or in the future.
    After(Revision),
}

/// What follows after all that was there at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing.
    Silent,
    /// A bookmark that says so.
    Marked,
}

/// Whether a watch tells how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bookmarks {
    /// Never.
    Never,
    /// Now and then, and at its end.
    Sent,
}

impl Options {
    /// Reads the options of a watch.
    ///
    /// # Errors
    /// 400 for values that cannot be read, 422 for such that do not go together.
    pub(crate) fn read(options: &ListOptions) -> Result<Self, Status> {
        let seconds = u64::try_from(options.timeout_seconds.unwrap_or_default()).unwrap_or_default();
        let wants_state = options.send_initial_events;
        let faults = faults(wants_state, &options.resource_version_match, &options.continue_token);
        if !faults.is_empty() {
            return Err(invalid_options(&faults));
        }
        let version = match options.resource_version.as_str() {
            "" => Revision(0),
            text => parse_version(text).map_err(Status::bad_request)?,
        };
        let bookmarks = if options.allow_watch_bookmarks { Bookmarks::Sent } else { Bookmarks::Never };
        let start = match wants_state {
            Some(true) => {
                let end = if bookmarks == Bookmarks::Sent { End::Marked } else { End::Silent };
                Start::State { at_least: version, end }
            }
            _ if version > Revision(0) => Start::After(version),
            Some(false) => Start::Now,
            None => Start::State { at_least: version, end: End::Silent },
        };
        let timeout = (seconds > 0).then(|| Duration::from_secs(seconds).min(LONGEST));
        Ok(Self { start, bookmarks, timeout })
    }

    /// How long the watch lasts. Those that do not care end at different times, so that not all come back at once.
    ///
    /// `chance` is any number.
    pub(crate) fn duration(&self, chance: u64) -> Duration {
        self.timeout.unwrap_or_else(|| USUAL + Duration::from_millis(chance % 1000 * USUAL.as_secs()))
    }
}

fn faults(wants_state: Option<bool>, r#match: &str, token: &str) -> field::Errors {
    const NAME: &str = "resourceVersionMatch";
    const ONLY: &str = "NotOlderThan";
    let mut faults = field::Errors::default();
    if wants_state.is_some() && r#match != ONLY {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        faults.push_with(|| field::Error::forbidden(NAME, why));
    }
    if r#match.is_empty() {
        return faults;
    }
    if wants_state.is_none() {
        let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        faults.push_with(|| field::Error::forbidden(NAME, why));
    }
    if r#match != ONLY {
        faults.push_with(|| field::Error::unsupported(NAME, r#match, &[ONLY]));
    }
    if !token.is_empty() {
        faults
            .push_with(|| field::Error::forbidden(NAME, "resourceVersionMatch is forbidden when continue is provided"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machinery::query::Query;

    fn read(query: &str) -> Result<Options, Status> {
        Options::read(&ListOptions::read(&Query::parse(Some(query)))?)
    }

    #[test]
    fn a_watch_begins_where_the_query_says() {
        let start = |query: &str| read(query).unwrap().start;
        let state = |at_least, end| Start::State { at_least: Revision(at_least), end };
        assert_eq!(start(""), state(0, End::Silent));
        assert_eq!(start("resourceVersion=0"), state(0, End::Silent));
        assert_eq!(start("resourceVersion=7"), Start::After(Revision(7)));
        let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(start(&format!("{initial}&resourceVersion=7")), state(7, End::Silent));
        assert_eq!(start(&format!("{initial}&allowWatchBookmarks=1")), state(0, End::Marked));
        let empty = "sendInitialEvents=&resourceVersionMatch=NotOlderThan";
        assert_eq!(start(empty), state(0, End::Silent), "only 0, false and nothing at all are off");
        let none = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
        assert_eq!(start(none), Start::Now);
        assert_eq!(start(&format!("{none}&resourceVersion=7")), Start::After(Revision(7)));
    }

    #[test]
    fn a_watch_that_does_not_care_lasts_half_an_hour_to_an_hour() {
        let minutes = |query: &str, chance| read(query).unwrap().duration(chance).as_secs_f64() / 60.0;
        assert_eq!(minutes("", 0), 30.0);
        assert!(minutes("timeoutSeconds=0", 999) > 59.0 && minutes("", u64::MAX) < 60.0);
        assert_eq!(minutes("timeoutSeconds=120", 5), 2.0);
        assert_eq!(minutes("timeoutSeconds=9223372036854775807", 5), 24.0 * 60.0);
    }

    #[test]
    fn all_that_does_not_go_together_is_told() {
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
