//! `ImportEvents`: events about the imports of tags, on their image streams.

use std::time::Duration;

use crate::api::{GROUP_VERSION, ImageStream};
use crate::cluster::{EventRecorder, EventSubject, ObjectEvent, ObjectEventType};
use crate::meta::Kind;

/// Action of all events.
const ACTION: &str = "Importing";

/// Recorder of the events of imports. Clones record to the same queue.
#[derive(Clone, Debug)]
pub struct ImportEvents(EventRecorder);

/// Tag that an event is about.
#[derive(Clone, Copy, Debug)]
pub struct TagSubject<'a> {
    /// Namespace of the stream.
    pub namespace: &'a str,
    /// Stream.
    pub stream: &'a str,
    /// UID of the stream.
    pub uid: &'a str,
    /// Tag.
    pub tag: &'a str,
}

/// A failed try.
#[derive(Clone, Copy, Debug)]
pub struct FailedTry<'a> {
    /// Message of the condition.
    pub message: &'a str,
    /// HTTP status of the registry; none without a response.
    pub http_status: Option<u16>,
    /// Name of the credential, or `anonymous`; none if no request was sent.
    pub credential: Option<&'a str>,
    /// Time until the next try.
    pub next_try: Duration,
}

impl ImportEvents {
    /// Events for a recorder.
    pub fn new(recorder: EventRecorder) -> Self {
        Self(recorder)
    }

    /// Records that a tag has a new image.
    pub fn imported(&self, subject: TagSubject<'_>, source: &str) {
        let note = format!("imported tag {:?} from {source}", subject.tag);
        self.record(subject, ObjectEventType::Normal, "Imported", note);
    }

    /// Records a failed try. The event does not count the tries: equal events form a series, and the
    /// control plane allows no change of the text. The time to the next try is rounded, so that the
    /// tries at the longest interval are equal.
    pub fn failed(&self, subject: TagSubject<'_>, failed: FailedTry<'_>) {
        let status = failed.http_status.map(|status| format!("; HTTP status {status}"));
        let credential = failed.credential.map(|name| format!("; credential: {name}"));
        let note = format!(
            "cannot import tag {:?}: {}{}{}; next try within {}",
            subject.tag,
            failed.message,
            status.unwrap_or_default(),
            credential.unwrap_or_default(),
            rounded(failed.next_try),
        );
        self.record(subject, ObjectEventType::Warning, "ImportFailed", note);
    }

    /// Records that a tag is imported again after failed tries.
    pub fn recovered(&self, subject: TagSubject<'_>, source: &str, failed_tries: u32) {
        let tag = subject.tag;
        let note = format!("imported tag {tag:?} from {source} after {failed_tries} failed tries");
        self.record(subject, ObjectEventType::Normal, "ImportRecovered", note);
    }

    fn record(
        &self,
        TagSubject { namespace, stream, uid, .. }: TagSubject<'_>,
        r#type: ObjectEventType,
        reason: &'static str,
        note: String,
    ) {
        let subject = EventSubject {
            api_version: GROUP_VERSION,
            kind: ImageStream::KIND,
            namespace: namespace.into(),
            name: stream.into(),
            uid: uid.into(),
        };
        self.0.record(ObjectEvent { subject, r#type, reason, action: ACTION, note });
    }
}

/// A time as text, rounded up.
fn rounded(time: Duration) -> &'static str {
    const STEPS: [(u64, &str); 10] = [
        (10, "10s"),
        (20, "20s"),
        (60, "1m"),
        (120, "2m"),
        (300, "5m"),
        (600, "10m"),
        (1_200, "20m"),
        (1_800, "30m"),
        (3_600, "1h"),
        (7_200, "2h"),
    ];
    let step = STEPS.into_iter().find(|(seconds, _)| time <= Duration::from_secs(*seconds));
    step.map_or("a day", |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_one_step_are_equal() {
        let of = |seconds| rounded(Duration::from_secs(seconds));
        assert_eq!([of(1), of(10), of(11)], ["10s", "10s", "20s"]);
        assert_eq!([of(720), of(900), of(1_080)], ["20m"; 3], "15 min with jitter");
        assert_eq!([of(3_600), of(100_000)], ["1h", "a day"]);
    }
}
