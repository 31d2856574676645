//! Inspector of a stopped server's folder, through the store's interface: all acknowledged objects
//! exist, no transaction is partial, and a resumed watch delivers all later changes exactly once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use imagestream_apiserver::store::embedded::{Embedded, Options};
use imagestream_apiserver::store::{Entry, Event, Key, Lookup, Range, Revision, Store, WatchError};
use serde_json::Value;
use tokio::time::timeout;

use crate::campaign::History;
use crate::ledger::{End, Owned, Push, Resource, State};

const DEADLINE: Duration = Duration::from_secs(30);

/// Copy of the store, built only from the events of watches that each resume where the last one
/// ended.
pub(crate) struct Inspector {
    folder: PathBuf,
    history: History,
    seen: Revision,
    copy: BTreeMap<Key, (Revision, Bytes)>,
    /// Counters of delivered events, of those delivered again to a resumed watch, and of watches
    /// that started below the compacted revision.
    pub(crate) events: usize,
    pub(crate) resumed: usize,
    pub(crate) late: usize,
}

impl Inspector {
    pub(crate) fn new(folder: PathBuf, history: History) -> Self {
        Self {
            folder,
            history,
            seen: Revision(0),
            copy: BTreeMap::new(),
            events: 0,
            resumed: 0,
            late: 0,
        }
    }

    /// Inspects the folder, given the acknowledged writes and the revisions that clients received.
    pub(crate) async fn inspect(
        &mut self,
        owned: Vec<&mut Owned>,
        pushes: Vec<&mut Push>,
        told: Told,
    ) {
        let Told { highest, resume } = told;
        let store = open(&self.folder);
        let now = store.current().await.expect("the current revision is readable");
        assert!(now >= self.seen && now.0 >= highest, "{now} is below {} or {highest}", self.seen);
        let events = self.catch_up(&store, now).await;
        self.check_resumed(&store, Revision(resume), now, events.as_deref()).await;
        check_owned(&store, owned, events.as_deref()).await;
        check_pushes(&store, pushes).await;
        self.seen = now;
    }

    /// Brings the copy up to date, compares it with the store and returns the events, or none if
    /// they are compacted.
    async fn catch_up(&mut self, store: &Embedded, now: Revision) -> Option<Vec<Event>> {
        let events = watch_to(store, self.seen, now).await;
        match &events {
            Some(events) => {
                self.events += events.len();
                for commit in events.chunk_by(|one, next| one.revision() == next.revision()) {
                    self.apply(commit);
                }
            }
            None => {
                let is_first = self.seen == Revision(0);
                assert!(is_first || self.history == History::Forgotten, "no history is compacted");
                self.late += usize::from(!is_first);
            }
        }
        let entries =
            store.range(Range::default()).await.expect("all entries are readable").entries;
        let there =
            entries.into_iter().map(|entry| (entry.key, (entry.revision, entry.value))).collect();
        if events.is_some() {
            let differing =
                self.copy.iter().find(|(key, state)| BTreeMap::get(&there, *key) != Some(state));
            assert!(differing.is_none(), "events give {differing:?}, which differs from the store");
            assert_eq!(self.copy.len(), there.len(), "the store has an entry without an event");
        }
        self.copy = there;
        events
    }

    /// Applies the events of one commit, which must match the copy and be complete.
    fn apply(&mut self, commit: &[Event]) {
        for event in commit {
            let (previous, now) = match event {
                Event::Put { entry, previous } => {
                    (previous.as_ref(), Some((entry.revision, entry.value.clone())))
                }
                Event::Delete { previous, .. } => (Some(previous), None),
            };
            let before = self.copy.get(event.key());
            let told = previous.map(|entry| (entry.revision, entry.value.clone()));
            assert_eq!(
                told.as_ref(),
                before,
                "the value of {} before revision {}",
                event.key(),
                event.revision()
            );
            assert!(
                before.is_none_or(|(revision, _)| *revision < event.revision()),
                "the revision of {} decreases",
                event.key()
            );
            match now {
                Some(state) => self.copy.insert(event.key().clone(), state),
                None => self.copy.remove(event.key()),
            };
        }
        self.check_whole(commit);
    }

    /// An image and its view are created and deleted together. An event in a stream comes in the
    /// same commit as its image or later.
    fn check_whole(&self, commit: &[Event]) {
        let there = |key: String| self.copy.get(&Key::new(key)).map(|(revision, _)| *revision);
        for event in commit {
            if let Some(name) = event.key().as_str().strip_prefix(&Resource::Image.prefix()) {
                let image = there(event.key().to_string());
                assert_eq!(
                    image,
                    there(format!("/image.openshift.io/views/{name}")),
                    "the view of {name}"
                );
            }
            let (Event::Put { entry, .. }, true) = (event, event.key().as_str().contains(SHARED))
            else {
                continue;
            };
            for (tag, image) in events_of(&entry.value) {
                let key = format!("{}{image}", Resource::Image.prefix());
                assert!(
                    there(key).is_some(),
                    "{tag} of {} names {image}, which does not exist",
                    entry.key
                );
            }
        }
        let pushed = |event: &&Event| {
            matches!(event, Event::Put { previous: None, .. }) && is_pushed(event.key())
        };
        for image in commit.iter().filter(pushed) {
            let name =
                image.key().as_str().strip_prefix(&Resource::Image.prefix()).unwrap_or_default();
            let tells = |event: &Event| match event {
                Event::Put { entry, .. } => {
                    entry.key.as_str().contains(SHARED)
                        && events_of(&entry.value).iter().any(|(_, image)| image == name)
                }
                Event::Delete { .. } => false,
            };
            assert!(commit.iter().any(tells), "{name} was created without its event");
        }
    }

    /// Checks that a resumed watch delivers the same events as the inspector's own watch.
    async fn check_resumed(
        &mut self,
        store: &Embedded,
        from: Revision,
        now: Revision,
        all: Option<&[Event]>,
    ) {
        if from <= self.seen {
            return;
        }
        let resumed = watch_to(store, from, now).await;
        let Some(resumed) = resumed else {
            assert_eq!(self.history, History::Forgotten, "no history is compacted");
            self.late += 1;
            return;
        };
        match all {
            Some(all) => {
                let rest = all.partition_point(|event| event.revision() <= from);
                assert!(
                    all[rest..] == resumed,
                    "a watch after {from} differs from one after {}",
                    self.seen
                );
            }
            None => self.check_last(&resumed, from),
        }
        self.resumed += resumed.len();
    }

    /// Checks that the last event of each key matches the store, and that every entry newer than
    /// `from` has an event.
    fn check_last(&self, events: &[Event], from: Revision) {
        let last: HashMap<&Key, &Event> = events.iter().map(|event| (event.key(), event)).collect();
        for (key, event) in &last {
            let told = match event {
                Event::Put { entry, .. } => Some((entry.revision, &entry.value)),
                Event::Delete { .. } => None,
            };
            let there = self.copy.get(*key).map(|(revision, value)| (*revision, value));
            assert_eq!(told, there, "the last event of {key} and its entry in the store");
        }
        let untold = self
            .copy
            .iter()
            .find(|(key, (revision, _))| *revision > from && !last.contains_key(key));
        assert!(untold.is_none(), "no event after {from} for {untold:?}");
    }
}

/// Revisions that clients received: the latest, and one to resume a watch from.
pub(crate) struct Told {
    pub(crate) highest: u64,
    pub(crate) resume: u64,
}

/// Name prefix of the streams that all writers push to.
pub(crate) const SHARED: &str = "/shared-";

/// Opens the folder of a killed process.
fn open(folder: &Path) -> Embedded {
    let options = Options { lock_timeout: Duration::from_secs(5), ..Options::new(folder) };
    Embedded::open(options)
        .unwrap_or_else(|why| panic!("cannot open the store after the kill: {why}"))
}

/// Events after a revision up to another, or none if they are compacted.
async fn watch_to(store: &Embedded, after: Revision, end: Revision) -> Option<Vec<Event>> {
    let mut watch = store.watch("", after);
    let mut events: Vec<Event> = Vec::new();
    while watch.revision() < end {
        match timeout(DEADLINE, watch.next()).await.expect("events arrive in time") {
            Ok(batch) => {
                let last = events.last().map_or(after, Event::revision);
                let first = batch.events.first().expect("a batch is not empty").revision();
                assert!(first > last, "{first} is delivered after {last}");
                assert!(batch.events.is_sorted_by_key(Event::revision), "events come in order");
                events.extend(batch.events);
            }
            Err(WatchError::Compacted { .. }) => return None,
            Err(why) => panic!("a watch after {after} fails: {why}"),
        }
    }
    Some(events)
}

/// Checks that each object has its last acknowledged state and that the events contain all its
/// earlier states.
async fn check_owned(store: &Embedded, owned: Vec<&mut Owned>, events: Option<&[Event]>) {
    let mut told: HashMap<&str, Vec<State>> = HashMap::new();
    for event in events.unwrap_or_default() {
        let state = match event {
            Event::Put { entry, .. } if is_object(&entry.key) => state_of(entry),
            Event::Delete { key, .. } if is_object(key) => State::Absent,
            _ => continue,
        };
        told.entry(event.key().as_str()).or_default().push(state);
    }
    for owned in owned {
        let state =
            match store.get(&Key::new(owned.key()), None).await.expect("an object is readable") {
                Lookup::Found(entry) => state_of(&entry),
                Lookup::Missing | Lookup::Unchanged => State::Absent,
            };
        owned.found(state);
        let passed = std::mem::take(&mut owned.passed);
        if events.is_some() {
            let told = told.remove(owned.key().as_str()).unwrap_or_default();
            assert_eq!(told, passed, "the events of {owned} and its acknowledged states");
        }
    }
}

async fn check_pushes(store: &Embedded, pushes: Vec<&mut Push>) {
    let mut streams: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for push in pushes {
        if !streams.contains_key(&push.stream) {
            let key = Key::new(format!("{}{}", Resource::Stream.prefix(), push.stream));
            let Lookup::Found(entry) = store.get(&key, None).await.expect("a stream is readable")
            else {
                panic!("the stream {} does not exist", push.stream);
            };
            streams.insert(push.stream.clone(), events_of(&entry.value));
        }
        let event =
            streams[&push.stream].iter().find(|(tag, _)| *tag == push.tag).map(|(_, image)| image);
        push.end = match (event, push.end) {
            (Some(image), End::Acknowledged | End::Open) => {
                assert_eq!(*image, push.image, "the event of {}", push.tag);
                End::Acknowledged
            }
            (None, End::Open | End::Unmade) => End::Unmade,
            (_, end) => panic!(
                "{} was pushed to {}, {end:?}, and its event is {event:?}",
                push.tag, push.stream
            ),
        };
    }
}

fn is_object(key: &Key) -> bool {
    [Resource::Image, Resource::Stream]
        .iter()
        .any(|resource| key.as_str().starts_with(&resource.prefix()))
}

/// Returns true if a push created the image.
fn is_pushed(key: &Key) -> bool {
    key.as_str()
        .strip_prefix(&Resource::Image.prefix())
        .is_some_and(|name| name.starts_with("sha256:f"))
}

fn state_of(entry: &Entry) -> State {
    State::of(&parse(&entry.value), Some(entry.revision.0))
}

/// Tag and image of the newest event of each tag.
fn events_of(stream: &[u8]) -> Vec<(String, String)> {
    let stream = parse(stream);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tags = stream["status"]["tags"].as_array().cloned().unwrap_or_default();
    tags.iter().map(|tag| (text(&tag["tag"]), text(&tag["items"][0]["image"]))).collect()
}

fn parse(value: &[u8]) -> Value {
    serde_json::from_slice(value).expect("objects are stored as JSON")
}
