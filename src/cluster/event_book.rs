//! `EventBook`: the series of events that can go on.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use jiff::{SignedDuration, Timestamp};

use super::object_event::ObjectEvent;

/// Maximum number of series. Beyond it, that with the oldest last event is forgotten.
const CAPACITY: usize = 4_096;
/// Time after which a series is over. Clusters keep events for an hour.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// Maximum length of the part of an event's name that comes from the object.
const MAX_PREFIX_BYTES: usize = 200;

/// Series by event. Events are kept as hashes.
#[derive(Default)]
pub(super) struct EventBook {
    hasher: RandomState,
    series: HashMap<u64, KnownSeries>,
}

struct KnownSeries {
    name: String,
    count: i32,
    last: Timestamp,
}

/// Relation of an event to earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Occurrence {
    /// The first one.
    New,
    /// One more of the series with this name. The first event counts too.
    Repeated { name: String, count: i32 },
}

impl EventBook {
    /// Records an event at a time.
    pub(super) fn record(&mut self, event: &ObjectEvent, now: Timestamp) -> Occurrence {
        let key = self.hasher.hash_one(event);
        match self.series.get_mut(&key) {
            Some(series) if now.duration_since(series.last) < LIFETIME => {
                series.last = now;
                series.count = series.count.saturating_add(1);
                Occurrence::Repeated { name: series.name.clone(), count: series.count }
            }
            _ => Occurrence::New,
        }
    }

    /// Begins a series, and returns the name of its event.
    pub(super) fn begin(&mut self, event: &ObjectEvent, now: Timestamp) -> String {
        let key = self.hasher.hash_one(event);
        if self.series.len() >= CAPACITY && !self.series.contains_key(&key) {
            let oldest = self.series.iter().min_by_key(|(_, series)| series.last);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.series.remove(&oldest);
            }
        }
        let name = name_of(&event.subject.name, now, key);
        self.series.insert(key, KnownSeries { name: name.clone(), count: 1, last: now });
        name
    }

    /// Forgets a series whose event does not exist.
    pub(super) fn forget(&mut self, event: &ObjectEvent) {
        self.series.remove(&self.hasher.hash_one(event));
    }
}

/// The name of an event: that of the object, as far as it is a DNS name, the time, and a part of the
/// hash, because several events may begin at the same time.
fn name_of(object: &str, now: Timestamp, key: u64) -> String {
    let is_plain = |letter: &char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let plain = |letter: char| if is_plain(&letter) || letter == '-' { letter } else { '-' };
    let prefix: String = object.chars().take(MAX_PREFIX_BYTES).map(plain).collect();
    let prefix = prefix.trim_matches('-');
    let prefix = if prefix.is_empty() { "event" } else { prefix };
    format!("{prefix}.{:x}{:04x}", now.as_microsecond(), key & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{EventSubject, ObjectEventType};

    fn event(uid: &str, note: &str) -> ObjectEvent {
        ObjectEvent {
            subject: EventSubject {
                api_version: "v1",
                kind: "Thing",
                namespace: "ns".into(),
                name: "a_b.C".into(),
                uid: uid.into(),
            },
            r#type: ObjectEventType::Normal,
            reason: "Happened",
            action: "Happening",
            note: note.into(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn equal_events_form_a_series_until_it_expires() {
        let mut book = EventBook::default();
        assert_eq!(book.record(&event("1", "x"), at(0)), Occurrence::New);
        let name = book.begin(&event("1", "x"), at(0));
        assert!(name.starts_with("a-b."), "{name}");
        for (count, second) in [(2, 600), (3, 4_000)] {
            let repeated = Occurrence::Repeated { name: name.clone(), count };
            assert_eq!(book.record(&event("1", "x"), at(second)), repeated);
        }
        assert_eq!(book.record(&event("1", "y"), at(4_000)), Occurrence::New);
        assert_eq!(book.record(&event("2", "x"), at(4_000)), Occurrence::New);
        assert_eq!(book.record(&event("1", "x"), at(7_600)), Occurrence::New, "it expired");
        book.begin(&event("1", "x"), at(7_600));
        book.forget(&event("1", "x"));
        assert_eq!(book.record(&event("1", "x"), at(7_601)), Occurrence::New);
    }

    #[test]
    fn number_of_series_is_bounded() {
        let mut book = EventBook::default();
        for at_second in 0..CAPACITY + 10 {
            book.begin(&event(&at_second.to_string(), "x"), at(at_second as i64));
        }
        assert_eq!(book.series.len(), CAPACITY);
        assert_eq!(book.record(&event("5", "x"), at(10)), Occurrence::New, "the oldest is gone");
    }

    #[test]
    fn name_is_a_dns_subdomain() {
        assert_eq!(name_of("a_b", at(1), 0x1_0002), "a-b.f42400002");
        assert_eq!(name_of("__", at(0), 1), "event.00001");
        assert!(name_of(&"x".repeat(300), at(1), 1).len() < 253);
    }
}
