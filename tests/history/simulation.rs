//! Histories of a correct store, for tests of the checker: each operation takes effect at one moment
//! between its call and its response, and watches deliver the changes later.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::history::record::{
    Call, Change, Collection, Content, Event, History, Moment, Number, Object, Operation, Response,
    Revision, Version, Watch,
};

const CLIENTS: usize = 8;
const STREAMS: u64 = 3;
const IMAGES: u64 = 3;
const WATCHES: usize = 4;
/// Revision of the store before the first operation.
pub(crate) const START: Revision = 1000;

/// Simulates this number of operations.
pub(crate) fn simulate(seed: u64, operations: u64) -> History {
    let mut simulation = Simulation::new(seed);
    while simulation.last < operations || !simulation.is_idle() {
        simulation.step(operations);
    }
    simulation.finish()
}

struct Simulation {
    random: Rng,
    now: Moment,
    store: Model,
    last: Number,
    clients: Vec<Option<Pending>>,
    /// Writes that take effect after the client has given up.
    abandoned: Vec<(Number, Call)>,
    watches: Vec<(Watch, usize)>,
    history: History,
}

/// Operation in flight.
struct Pending {
    number: Number,
    call: Call,
    called: Moment,
    response: Option<Response>,
}

/// The store: what it contains and all changes that it went through.
struct Model {
    revision: Revision,
    uids: u128,
    objects: BTreeMap<Object, Version>,
    pushes: BTreeMap<Object, Vec<Number>>,
    log: Vec<(Change, Object, Version)>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let store = Model {
            revision: START,
            uids: 0,
            objects: BTreeMap::new(),
            pushes: BTreeMap::new(),
            log: Vec::new(),
        };
        let watch = |at: usize| {
            let collection = Collection::ALL[at % 2];
            (Watch { collection, after: START, events: Vec::new(), bookmarks: Vec::new() }, 0)
        };
        Self {
            random: Rng::with_seed(seed),
            now: 0,
            store,
            last: 0,
            clients: (0..CLIENTS).map(|_| None).collect(),
            abandoned: Vec::new(),
            watches: (0..WATCHES).map(watch).collect(),
            history: History { start: START, ..History::default() },
        }
    }

    fn is_idle(&self) -> bool {
        self.clients.iter().all(Option::is_none)
    }

    fn step(&mut self, operations: u64) {
        self.now += 1;
        match self.random.u8(..100) {
            0..15 => self.deliver(),
            15..20 if !self.abandoned.is_empty() => {
                let at = self.random.usize(..self.abandoned.len());
                let (number, call) = self.abandoned.swap_remove(at);
                self.store.apply(number, call);
            }
            _ => self.advance(operations),
        }
    }

    /// Moves one client on: it calls, its operation takes effect, or it returns.
    fn advance(&mut self, operations: u64) {
        let client = self.random.usize(..CLIENTS);
        let Some(mut pending) = self.clients[client].take() else {
            if self.last < operations {
                self.last += 1;
                let (number, called) = (self.last, self.now);
                let call = self.call();
                self.clients[client] = Some(Pending { number, call, called, response: None });
            }
            return;
        };
        if let Some(response) = pending.response.take() {
            let response = if pending.call.is_write() && self.random.u8(..100) < 5 {
                Response::Unknown
            } else {
                response
            };
            self.end(pending, response);
        } else if pending.call.is_write() && self.random.u8(..100) < 5 {
            match self.random.u8(..3) {
                0 => self.abandoned.push((pending.number, pending.call)),
                1 => return self.end(pending, Response::Refused),
                _ => {}
            }
            self.end(pending, Response::Unknown);
        } else {
            pending.response = Some(self.store.apply(pending.number, pending.call));
            self.clients[client] = Some(pending);
        }
    }

    fn end(&mut self, pending: Pending, response: Response) {
        let Pending { number, call, called, .. } = pending;
        let returned = self.now;
        self.history.operations.push(Operation { number, call, called, returned, response });
    }

    fn call(&mut self) -> Call {
        let stream = Object::Stream(self.random.u64(..STREAMS));
        let image = Object::Image(self.random.u64(..IMAGES));
        let object = if self.random.bool() { stream } else { image };
        match self.random.u8(..100) {
            0..30 => Call::Get(object),
            30..40 => {
                let pushes = self.store.pushes.get(&stream).cloned().unwrap_or_default();
                match self.random.choice(pushes) {
                    Some(push) => Call::GetPushed { stream, push },
                    None => Call::Get(stream),
                }
            }
            40..45 => Call::List(Collection::ALL[self.random.usize(..2)]),
            45..60 => Call::Create(object),
            60..72 => Call::Patch(object),
            72..80 => match self.store.objects.get(&object) {
                Some(version) => Call::Update(object, version.revision),
                None => Call::Create(object),
            },
            80..86 => Call::Push(stream),
            86..93 => Call::Delete(object),
            _ => {
                let pushed = self.store.objects.keys().find(|it| **it >= Object::pushed(0));
                Call::Delete(pushed.copied().unwrap_or(object))
            }
        }
    }

    /// Delivers an event or a bookmark of one watch, or ends it and resumes it.
    fn deliver(&mut self) {
        let at = self.random.usize(..WATCHES);
        match self.random.u8(..10) {
            0 => {
                let (watch, _) = &self.watches[at];
                let after = watch.end();
                let new = Watch { after, events: Vec::new(), bookmarks: Vec::new(), ..*watch };
                let ended = std::mem::replace(&mut self.watches[at].0, new);
                self.history.watches.push(ended);
            }
            _ => self.deliver_next(at),
        }
    }

    fn deliver_next(&mut self, at: usize) {
        let (watch, position) = &mut self.watches[at];
        let of_it = |event: &&(Change, Object, Version)| event.1.collection() == watch.collection;
        let later = &self.store.log[*position..];
        match later.iter().find(of_it) {
            Some(&(change, object, version)) => {
                *position += later.iter().position(|event| of_it(&event)).unwrap_or_default() + 1;
                watch.events.push(Event { at: self.now, change, object, version });
            }
            None => {
                *position = self.store.log.len();
                watch.bookmarks.push((self.store.revision, watch.events.len()));
            }
        }
    }

    /// Delivers all remaining events.
    fn finish(mut self) -> History {
        for at in 0..WATCHES {
            while self.watches[at].1 < self.store.log.len() {
                self.now += 1;
                self.deliver_next(at);
            }
        }
        self.history.watches.extend(self.watches.into_iter().map(|(watch, _)| watch));
        self.history
    }
}

impl Model {
    fn apply(&mut self, number: Number, call: Call) -> Response {
        match call {
            Call::Get(object) => {
                self.objects.get(&object).map_or(Response::Absent, |it| Response::Object(*it))
            }
            Call::GetPushed { stream, push } => {
                let pushes = self.pushes.get(&stream).filter(|pushes| pushes.contains(&push));
                let has_image = self.objects.contains_key(&Object::pushed(push));
                if pushes.is_some() && has_image { Response::Found } else { Response::Absent }
            }
            Call::List(collection) => {
                let all = self.objects.iter().map(|(object, version)| (*object, *version));
                let items = all.filter(|(object, _)| object.collection() == collection).collect();
                Response::Listed { revision: self.revision, items }
            }
            Call::Create(object) if self.objects.contains_key(&object) => Response::Exists,
            Call::Create(object) => {
                self.revision += 1;
                Response::Object(self.add(object, Some(number), None))
            }
            Call::Patch(object) | Call::Update(object, _) | Call::Delete(object)
                if !self.objects.contains_key(&object) =>
            {
                Response::Absent
            }
            Call::Update(object, base) if self.objects[&object].revision != base => {
                Response::Refused
            }
            Call::Patch(object) | Call::Update(object, _) => {
                self.revision += 1;
                let content = self.objects[&object].content;
                let content = Content { label: Some(number), ..content };
                Response::Object(self.put(Change::Modified, object, content))
            }
            Call::Delete(object) => self.delete(object),
            Call::Push(stream) => self.push(number, stream),
        }
    }

    fn add(&mut self, object: Object, label: Option<u64>, push: Option<u64>) -> Version {
        self.uids += 1;
        self.put(Change::Added, object, Content { uid: self.uids, label, push })
    }

    fn put(&mut self, change: Change, object: Object, content: Content) -> Version {
        let version = Version { revision: self.revision, content };
        self.objects.insert(object, version);
        self.log.push((change, object, version));
        version
    }

    fn delete(&mut self, object: Object) -> Response {
        self.revision += 1;
        let content = self.objects.remove(&object).expect("it was looked up").content;
        self.pushes.remove(&object);
        self.log.push((Change::Deleted, object, Version { revision: self.revision, content }));
        Response::Deleted(content.uid)
    }

    fn push(&mut self, number: Number, stream: Object) -> Response {
        let Some(version) = self.objects.get(&stream).copied() else { return Response::Absent };
        self.revision += 1;
        self.pushes.entry(stream).or_default().push(number);
        let content = Content { push: Some(number), ..version.content };
        self.put(Change::Modified, stream, content);
        self.add(Object::pushed(number), None, Some(number));
        Response::Pushed
    }
}
