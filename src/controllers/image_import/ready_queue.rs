//! Work that is ready, shared fairly among registries and namespaces.
//!
//! Work takes one of few slots. A registry, and a namespace, can hold only a part of them. Registries
//! whose last work failed for reasons that may not last hold less, each and together, so that
//! registries that do not respond leave slots to all others. Registries take turns, and so do the
//! namespaces of a registry.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::domain::tag_source::StreamKey;

/// Maximum number of registries that are known to fail. Users choose their names.
const MAX_FAILING: usize = 10_000;

/// Limits on concurrent work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotLimits {
    /// All work.
    pub(super) total: usize,
    /// Work of one namespace.
    pub(super) namespace: usize,
    /// Work of one registry.
    pub(super) registry: usize,
    /// Work of all registries together that failed recently. Each has one slot.
    pub(super) failing: usize,
}

/// Work: the targets of a stream in one registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct UnitKey {
    /// Stream.
    pub(super) stream: Arc<StreamKey>,
    /// Registry.
    pub(super) registry: Arc<str>,
}

/// Effect of finished work on the slots of its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegistryHealth {
    /// The registry responded.
    Responding,
    /// All requests failed for reasons that may not last.
    Failing,
    /// The work says nothing about the registry.
    Unknown,
}

/// Ready work and the slots in use.
#[derive(Debug)]
pub(super) struct ReadyQueue {
    limits: SlotLimits,
    /// Registries with ready work, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    ready: HashMap<Arc<str>, RegistryQueue>,
    running: usize,
    running_failing: usize,
    by_registry: HashMap<Arc<str>, usize>,
    by_namespace: HashMap<String, usize>,
    failing: HashSet<Arc<str>>,
    /// Running work that counts as that of a failing registry.
    counted_as_failing: HashSet<UnitKey>,
    waiting: usize,
}

/// Ready work of a registry.
#[derive(Debug, Default)]
struct RegistryQueue {
    /// Namespaces with ready work, in the order of their turns.
    turns: VecDeque<String>,
    units: HashMap<String, VecDeque<UnitKey>>,
}

impl ReadyQueue {
    /// No work.
    pub(super) fn new(limits: SlotLimits) -> Self {
        Self {
            limits,
            turns: VecDeque::new(),
            ready: HashMap::new(),
            running: 0,
            running_failing: 0,
            by_registry: HashMap::new(),
            by_namespace: HashMap::new(),
            failing: HashSet::new(),
            counted_as_failing: HashSet::new(),
            waiting: 0,
        }
    }

    /// Adds work, which is not in the queue.
    pub(super) fn push(&mut self, unit: UnitKey) {
        self.waiting += 1;
        let queue = self.ready.entry(unit.registry.clone()).or_insert_with(|| {
            self.turns.push_back(unit.registry.clone());
            RegistryQueue::default()
        });
        let namespace = unit.stream.namespace.clone();
        let units = queue.units.entry(namespace.clone()).or_default();
        if units.is_empty() {
            queue.turns.push_back(namespace);
        }
        units.push_back(unit);
    }

    /// Takes the next work that may run, with a slot; `None` if there is none.
    pub(super) fn pop(&mut self) -> Option<UnitKey> {
        if self.running >= self.limits.total {
            return None;
        }
        for _ in 0..self.turns.len() {
            let registry = self.turns.pop_front()?;
            let unit = match self.has_slot(&registry) {
                true => self.pop_of(&registry),
                false => None,
            };
            if self.ready.get(&registry).is_some_and(|queue| !queue.turns.is_empty()) {
                self.turns.push_back(registry.clone());
            } else {
                self.ready.remove(&registry);
            }
            if let Some(unit) = unit {
                self.begin(&unit);
                return Some(unit);
            }
        }
        None
    }

    /// Releases the slot of finished work.
    pub(super) fn end(&mut self, unit: &UnitKey, health: RegistryHealth) {
        self.running -= 1;
        if self.counted_as_failing.remove(unit) {
            self.running_failing -= 1;
        }
        release(&mut self.by_registry, &unit.registry);
        release(&mut self.by_namespace, &unit.stream.namespace);
        match health {
            RegistryHealth::Responding => {
                self.failing.remove(&unit.registry);
            }
            RegistryHealth::Failing if self.failing.len() < MAX_FAILING => {
                self.failing.insert(unit.registry.clone());
            }
            RegistryHealth::Failing | RegistryHealth::Unknown => {}
        }
    }

    /// The number of ready work.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn has_slot(&self, registry: &Arc<str>) -> bool {
        let held = self.by_registry.get(registry).copied().unwrap_or_default();
        match self.failing.contains(registry) {
            true => held < 1 && self.running_failing < self.limits.failing,
            false => held < self.limits.registry,
        }
    }

    fn pop_of(&mut self, registry: &Arc<str>) -> Option<UnitKey> {
        let queue = self.ready.get_mut(registry)?;
        for _ in 0..queue.turns.len() {
            let namespace = queue.turns.pop_front()?;
            let held = self.by_namespace.get(&namespace).copied().unwrap_or_default();
            if held >= self.limits.namespace {
                queue.turns.push_back(namespace);
                continue;
            }
            let units = queue.units.get_mut(&namespace)?;
            let unit = units.pop_front();
            match units.is_empty() {
                true => drop(queue.units.remove(&namespace)),
                false => queue.turns.push_back(namespace),
            }
            return unit;
        }
        None
    }

    fn begin(&mut self, unit: &UnitKey) {
        self.waiting -= 1;
        self.running += 1;
        if self.failing.contains(&unit.registry) {
            self.running_failing += 1;
            self.counted_as_failing.insert(unit.clone());
        }
        *self.by_registry.entry(unit.registry.clone()).or_default() += 1;
        *self.by_namespace.entry(unit.stream.namespace.clone()).or_default() += 1;
    }
}

/// Releases one of the slots that a key holds.
fn release<K, Q>(held: &mut HashMap<K, usize>, key: &Q)
where
    K: std::borrow::Borrow<Q> + Eq + std::hash::Hash,
    Q: Eq + std::hash::Hash + ?Sized,
{
    if let Some(count) = held.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            held.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SlotLimits = SlotLimits { total: 6, namespace: 4, registry: 3, failing: 2 };

    fn unit(namespace: &str, name: usize, registry: &str) -> UnitKey {
        let stream = StreamKey { namespace: namespace.into(), name: name.to_string() };
        UnitKey { stream: Arc::new(stream), registry: registry.into() }
    }

    fn all(queue: &mut ReadyQueue) -> Vec<UnitKey> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    fn count(units: &[UnitKey], registry: &str) -> usize {
        units.iter().filter(|unit| &*unit.registry == registry).count()
    }

    #[test]
    fn one_registry_leaves_slots_to_others() {
        let mut queue = ReadyQueue::new(LIMITS);
        (0..10).for_each(|at| queue.push(unit("ns", at, "slow")));
        queue.push(unit("ns", 10, "fast"));
        let running = all(&mut queue);
        assert_eq!((count(&running, "slow"), count(&running, "fast")), (3, 1));
        queue.end(&running[0], RegistryHealth::Responding);
        assert!(queue.pop().is_some());
        assert_eq!(queue.waiting(), 6);
    }

    #[test]
    fn one_namespace_leaves_slots_to_others() {
        let mut queue = ReadyQueue::new(LIMITS);
        (0..10).for_each(|at| queue.push(unit("greedy", at, &format!("r{at}"))));
        (0..10).for_each(|at| queue.push(unit("modest", at, &format!("r{at}"))));
        let running = all(&mut queue);
        let greedy = running.iter().filter(|unit| unit.stream.namespace == "greedy").count();
        assert!(running.len() == 6 && greedy <= 4, "{running:?}");
    }

    #[test]
    fn failing_registries_share_few_slots_until_they_respond() {
        let mut queue = ReadyQueue::new(LIMITS);
        for registry in ["a", "b", "c"] {
            queue.push(unit("ns", 0, registry));
        }
        for unit in all(&mut queue) {
            queue.end(&unit, RegistryHealth::Failing);
        }
        for at in 1..5 {
            ["a", "b", "c"].iter().for_each(|registry| queue.push(unit("x", at, registry)));
            queue.push(unit("y", at, "good"));
        }
        let running = all(&mut queue);
        assert_eq!(running.len() - count(&running, "good"), 2, "{running:?}");
        assert_eq!(count(&running, "good"), 3);
        let failing = running.iter().find(|unit| &*unit.registry != "good").unwrap();
        queue.end(failing, RegistryHealth::Responding);
        let recovered = failing.registry.clone();
        let more = all(&mut queue);
        assert!(count(&more, &recovered) >= 1, "{more:?}");
    }

    #[test]
    fn namespaces_of_a_registry_take_turns() {
        let limits = SlotLimits { total: 1, ..LIMITS };
        let mut queue = ReadyQueue::new(limits);
        (0..3).for_each(|at| queue.push(unit("a", at, "r")));
        queue.push(unit("b", 0, "r"));
        let mut order = Vec::new();
        while let Some(unit) = queue.pop() {
            queue.end(&unit, RegistryHealth::Responding);
            order.push(unit.stream.namespace.clone());
        }
        assert_eq!(order, ["a", "b", "a", "a"]);
    }
}
