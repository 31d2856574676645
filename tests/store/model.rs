//! Model test: random histories of commits, reads, watches, compactions and reopens give the same
//! results as a plain list of states.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use imagestream_apiserver::store::{
    At, Change, Current, Entry, Event, Guard, Lookup, Outcome, Outline, Page, Range, Revision,
    StoreError, Txn, Watch, WatchError,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{Lab, TestStore, key, next, within};

/// Runs the model over one implementation.
macro_rules! suite {
    ($module:ident, $lab:ty) => {
        #[test]
        fn $module() {
            crate::model::any_history_reads_as_the_model_says::<$lab>();
        }
    };
}
pub(crate) use suite;

const KEYS: [&str; 6] = ["/a/1", "/a/2", "/a/20", "/b/1", "/b/2", "/c"];
const PREFIXES: [&str; 5] = ["", "/a/", "/a/2", "/b", "/nothing"];

/// Random step. Its numbers select one of the existing items.
#[derive(Clone, Debug)]
enum Step {
    Commit { guards: Vec<(usize, Expect)>, changes: Vec<(usize, Option<u8>)> },
    Get { key: usize, known: usize },
    Range { prefix: usize, start: Option<usize>, limit: usize, at: Option<usize> },
    Watch { prefix: usize, after: usize },
    Poll { watch: usize },
    Compact { at: usize },
    Reopen,
}

/// Expectation of a guard for its key.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Absent,
    Present,
    Stale,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let expect = prop_oneof![
        Just(Expect::Absent),
        Just(Expect::Present),
        Just(Expect::Present),
        Just(Expect::Stale)
    ];
    let guards = prop::collection::vec((0..KEYS.len(), expect), 0..3);
    let changes =
        prop::collection::btree_map(0..KEYS.len(), prop::option::weighted(0.7, any::<u8>()), 0..4);
    let any_revision = || 0..1000_usize;
    let step = prop_oneof![
        8 => (guards, changes)
            .prop_map(|(guards, changes)| Step::Commit { guards, changes: changes.into_iter().collect() }),
        3 => (0..KEYS.len(), any_revision()).prop_map(|(key, known)| Step::Get { key, known }),
        4 => (0..PREFIXES.len(), prop::option::of(0..KEYS.len()), 0..4_usize, prop::option::of(any_revision()))
            .prop_map(|(prefix, start, limit, at)| Step::Range { prefix, start, limit, at }),
        2 => (0..PREFIXES.len(), any_revision()).prop_map(|(prefix, after)| Step::Watch { prefix, after }),
        4 => any_revision().prop_map(|watch| Step::Poll { watch }),
        1 => any_revision().prop_map(|at| Step::Compact { at }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// All states, and the events between them.
struct Model {
    states: BTreeMap<Revision, BTreeMap<&'static str, Entry>>,
    events: Vec<Event>,
    compacted: Revision,
}

impl Model {
    fn current(&self) -> Revision {
        *self.states.last_key_value().unwrap().0
    }

    fn now(&self) -> &BTreeMap<&'static str, Entry> {
        self.states.last_key_value().unwrap().1
    }

    /// An existing revision or a neighbour of one.
    fn pick(&self, n: usize) -> Revision {
        let all: Vec<_> = self.states.keys().copied().collect();
        match n % (all.len() + 2) {
            0 => Revision(all[0].0 - 1),
            1 => Revision(self.current().0 + 1),
            n => all[n - 2],
        }
    }

    fn guard(&self, at: &'static str, expect: Expect) -> Guard {
        let present = self.now().get(at).map_or(Revision(7), |entry| entry.revision);
        match expect {
            Expect::Absent => Guard::Absent(key(at)),
            Expect::Present => Guard::Unchanged(key(at), present),
            Expect::Stale => Guard::Unchanged(key(at), Revision(present.0 - 1)),
        }
    }

    fn refused(&self, guards: &[Guard]) -> Vec<Current> {
        let current = |guard: &Guard| Current {
            key: guard.key().clone(),
            entry: self.now().get(guard.key().as_str()).cloned(),
        };
        let fails = |guard: &&Guard| match guard {
            Guard::Absent(key) => self.now().contains_key(key.as_str()),
            Guard::Unchanged(key, revision) => {
                self.now().get(key.as_str()).is_none_or(|entry| entry.revision != *revision)
            }
        };
        guards.iter().filter(fails).map(current).collect()
    }

    /// The effective changes, as events of a revision still to be assigned.
    fn apply(&mut self, changes: &[(&'static str, Option<Bytes>)], revision: Revision) {
        let mut state = self.now().clone();
        for (at, value) in changes {
            let previous = state.remove(at);
            match (value, previous) {
                (Some(value), previous) => {
                    let entry = Entry { key: key(at), value: value.clone(), revision };
                    state.insert(at, entry.clone());
                    self.events.push(Event::Put { entry, previous });
                }
                (None, Some(previous)) => {
                    self.events.push(Event::Delete { key: key(at), revision, previous })
                }
                (None, None) => {}
            }
        }
        self.states.insert(revision, state);
    }

    fn after(&self, prefix: &str, after: Revision) -> Vec<Event> {
        let wanted =
            |event: &&Event| event.revision() > after && event.key().as_str().starts_with(prefix);
        self.events.iter().filter(wanted).cloned().collect()
    }
}

/// Watch and its pending events.
struct Watching {
    watch: Box<dyn Watch>,
    prefix: &'static str,
    after: Revision,
}

struct Run<L> {
    lab: L,
    model: Model,
    watches: Vec<Watching>,
}

pub(crate) fn any_history_reads_as_the_model_says<L: Lab>() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
    let run = |steps| {
        runtime.block_on(async {
            let lab = L::start().await;
            let start = lab.store().current().await.unwrap();
            let states = BTreeMap::from([(start, BTreeMap::new())]);
            let model = Model { states, events: Vec::new(), compacted: start };
            let mut run = Run { lab, model, watches: Vec::new() };
            for step in steps {
                run = run.step(step).await;
            }
            run.finish().await;
        });
        Ok(())
    };
    TestRunner::new(config).run(&steps(), run).unwrap();
}

impl<L: Lab> Run<L> {
    async fn step(mut self, step: Step) -> Self {
        match step {
            Step::Commit { guards, changes } => self.commit(guards, changes).await,
            Step::Get { key, known } => self.get(KEYS[key], known).await,
            Step::Range { prefix, start, limit, at } => {
                let at = at.map_or(At::Now, |n| At::Revision(self.model.pick(n)));
                let start = start.map(|start| KEYS[start].to_owned());
                self.range(Range {
                    prefix: PREFIXES[prefix].to_owned(),
                    start,
                    limit,
                    at,
                    bytes: 0,
                })
                .await;
            }
            Step::Watch { prefix, after } => self.watch(PREFIXES[prefix], after),
            Step::Poll { watch } if !self.watches.is_empty() => {
                self.poll(watch % self.watches.len()).await
            }
            Step::Poll { .. } => {}
            Step::Compact { at } => self.compact(at).await,
            Step::Reopen => {
                self.watches.clear();
                self.lab = self.lab.reopen().await;
            }
        }
        self
    }

    fn store(&self) -> Arc<dyn TestStore> {
        self.lab.store()
    }

    async fn commit(&mut self, guards: Vec<(usize, Expect)>, changes: Vec<(usize, Option<u8>)>) {
        let guards: Vec<_> =
            guards.into_iter().map(|(at, expect)| self.model.guard(KEYS[at], expect)).collect();
        // Some are large enough to be stored as differences.
        let value = |byte: u8| {
            let mut value = vec![b'.'; usize::from(byte) * 200];
            value.iter_mut().skip(7).step_by(9000).for_each(|at| *at = byte);
            Bytes::from(value)
        };
        let changes: Vec<_> =
            changes.into_iter().map(|(at, byte)| (KEYS[at], byte.map(value))).collect();
        let change = |(at, value): &(&'static str, Option<Bytes>)| match value {
            Some(value) => Change::Put(key(at), value.clone()),
            None => Change::Delete(key(at)),
        };
        let refused = self.model.refused(&guards);
        let txn = Txn { guards, changes: changes.iter().map(change).collect(), ..Txn::default() };
        let outcome = within(self.store().commit(txn)).await.unwrap();
        let any =
            changes.iter().any(|(at, value)| value.is_some() || self.model.now().contains_key(at));
        match outcome {
            Outcome::Refused(current) => assert_eq!(current, refused),
            Outcome::Committed(revision) => {
                assert_eq!(refused, []);
                assert_eq!(revision > self.model.current(), any);
                assert!(revision >= self.model.current());
                self.model.apply(&changes, revision);
            }
        }
        assert_eq!(self.store().current().await.unwrap(), self.model.current());
    }

    async fn get(&self, at: &'static str, known: usize) {
        let known = self.model.pick(known);
        let expected = match self.model.now().get(at) {
            None => Lookup::Missing,
            Some(entry) if entry.revision == known => Lookup::Unchanged,
            Some(entry) => Lookup::Found(entry.clone()),
        };
        assert_eq!(within(self.store().get(&key(at), Some(known))).await.unwrap(), expected);
    }

    async fn range(&self, range: Range) {
        let answer = within(self.store().range(range.clone())).await;
        let outline = within(self.store().outline(range.clone())).await;
        let at = match range.at {
            At::Now => self.model.current(),
            At::Revision(at) => at,
        };
        if at > self.model.current() {
            assert!(matches!(outline, Err(StoreError::Future { .. })), "{outline:?}");
            return assert!(matches!(answer, Err(StoreError::Future { .. })), "{answer:?}");
        }
        if at < self.model.compacted {
            assert!(matches!(outline, Err(StoreError::Compacted { .. })), "{outline:?}");
            return assert!(matches!(answer, Err(StoreError::Compacted { .. })), "{answer:?}");
        }
        let inside = |key: &str| {
            key.starts_with(&range.prefix)
                && range.start.as_deref().is_none_or(|start| key >= start)
        };
        let mut expected: Vec<_> = self.model.states[&at]
            .iter()
            .filter(|(key, _)| inside(key))
            .map(|(_, entry)| entry.clone())
            .collect();
        let rest = if range.limit == 0 { 0 } else { expected.len().saturating_sub(range.limit) };
        expected.truncate(expected.len() - rest);
        let last = expected.last().map(|entry| entry.key.clone());
        let outlined =
            Outline { revision: at, entries: expected.len() as u64, last, remaining: rest as u64 };
        assert_eq!(outline.unwrap(), outlined);
        assert_eq!(answer.unwrap(), Page { entries: expected, revision: at, more: rest > 0 });
    }

    fn watch(&mut self, prefix: &'static str, after: usize) {
        let after = self.model.pick(after);
        self.watches.push(Watching { watch: self.store().watch(prefix, after), prefix, after });
    }

    /// Reads one batch if one is pending.
    async fn poll(&mut self, index: usize) {
        let Watching { watch, prefix, after } = &mut self.watches[index];
        if *after < self.model.compacted {
            assert!(matches!(next(&mut **watch).await, Err(WatchError::Compacted { .. })));
            self.watches.swap_remove(index);
            return;
        }
        let expected = self.model.after(prefix, *after);
        if expected.is_empty() {
            // The watch may advance over commits to other prefixes; then a later compaction does
            // not reach it.
            assert!(watch.next().now_or_never().is_none());
            *after = watch.revision().max(*after);
            return;
        }
        let batch = next(&mut **watch).await.unwrap();
        assert_eq!(batch.events, expected[..batch.events.len()]);
        assert_eq!(self.model.after(prefix, batch.revision), expected[batch.events.len()..]);
        *after = batch.revision;
    }

    async fn compact(&mut self, at: usize) {
        let at = self.model.pick(at);
        let answer = within(self.store().compact(at)).await;
        if at > self.model.current() {
            return assert!(matches!(answer, Err(StoreError::Future { .. })), "{answer:?}");
        }
        answer.unwrap();
        self.model.compacted = self.model.compacted.max(at);
    }

    /// Drains every watch and reads every retained state.
    async fn finish(mut self) {
        while let Some(Watching { prefix, after, .. }) = self.watches.first() {
            if *after >= self.model.compacted && self.model.after(prefix, *after).is_empty() {
                self.watches.swap_remove(0);
            } else {
                self.poll(0).await;
            }
        }
        for at in self.model.states.keys().copied().collect::<Vec<_>>() {
            self.range(Range { at: At::Revision(at), ..Range::default() }).await;
        }
    }
}
