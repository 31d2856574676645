//! Work that is ready, shared fairly among registries and namespaces.
//!
//! Work takes one of few slots. A registry, and a namespace, can hold only a part of them. A registry
//! is on probation until it responds, and again when it does not: it holds one slot, and all such
//! registries together hold only a part, in all and of each namespace. So registries that hang
//! leave slots to all others. Registries take turns, and so do the namespaces of a registry.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::domain::tag_source::StreamKey;

/// Maximum number of registries that are known to respond. Users choose their names. Further ones
/// stay on probation.
const MAX_RESPONDING: usize = 10_000;

/// Limits on concurrent work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotLimits {
    /// All work.
    pub(super) total: usize,
    /// Work of one namespace.
    pub(super) namespace: usize,
    /// Work of one registry.
    pub(super) registry: usize,
    /// Work of all registries on probation. Each has one slot.
    pub(super) probation: usize,
    /// Work of registries on probation for one namespace.
    pub(super) namespace_probation: usize,
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
    by_registry: HashMap<Arc<str>, usize>,
    by_namespace: HashMap<String, NamespaceSlots>,
    responding: HashSet<Arc<str>>,
    /// Running work of registries that were on probation when it started.
    on_probation: HashSet<UnitKey>,
    waiting: usize,
}

/// Slots that a namespace holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct NamespaceSlots {
    all: usize,
    /// Those for registries on probation.
    probation: usize,
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
            by_registry: HashMap::new(),
            by_namespace: HashMap::new(),
            responding: HashSet::new(),
            on_probation: HashSet::new(),
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
        if let Some(held) = self.by_registry.get_mut(&unit.registry) {
            *held -= 1;
        }
        self.by_registry.retain(|_, held| *held > 0);
        let was_on_probation = self.on_probation.remove(unit);
        if let Some(held) = self.by_namespace.get_mut(&unit.stream.namespace) {
            held.all -= 1;
            held.probation -= usize::from(was_on_probation);
        }
        self.by_namespace.retain(|_, held| held.all > 0);
        match health {
            RegistryHealth::Responding if self.responding.len() < MAX_RESPONDING => {
                self.responding.insert(unit.registry.clone());
            }
            RegistryHealth::Failing => {
                self.responding.remove(&unit.registry);
            }
            RegistryHealth::Responding | RegistryHealth::Unknown => {}
        }
    }

    /// The number of ready work.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn has_slot(&self, registry: &Arc<str>) -> bool {
        let held = self.by_registry.get(registry).copied().unwrap_or_default();
        match self.responding.contains(registry) {
            true => held < self.limits.registry,
            false => held < 1 && self.on_probation.len() < self.limits.probation,
        }
    }

    fn pop_of(&mut self, registry: &Arc<str>) -> Option<UnitKey> {
        let is_responding = self.responding.contains(registry);
        let SlotLimits { namespace: most, namespace_probation, .. } = self.limits;
        let queue = self.ready.get_mut(registry)?;
        for _ in 0..queue.turns.len() {
            let namespace = queue.turns.pop_front()?;
            let held = self.by_namespace.get(&namespace).copied().unwrap_or_default();
            if held.all >= most || (!is_responding && held.probation >= namespace_probation) {
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
        *self.by_registry.entry(unit.registry.clone()).or_default() += 1;
        let held = self.by_namespace.entry(unit.stream.namespace.clone()).or_default();
        held.all += 1;
        if !self.responding.contains(&unit.registry) {
            held.probation += 1;
            self.on_probation.insert(unit.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SlotLimits =
        SlotLimits { total: 6, namespace: 4, registry: 3, probation: 4, namespace_probation: 2 };

    fn unit(namespace: &str, name: usize, registry: &str) -> UnitKey {
        let stream = StreamKey { namespace: namespace.into(), name: name.to_string() };
        UnitKey { stream: Arc::new(stream), registry: registry.into() }
    }

    /// A queue that knows that these registries respond.
    fn queue(responding: &[&str]) -> ReadyQueue {
        let mut queue = ReadyQueue::new(LIMITS);
        for registry in responding {
            queue.push(unit("first", 0, registry));
            let unit = queue.pop().unwrap();
            queue.end(&unit, RegistryHealth::Responding);
        }
        queue
    }

    fn all(queue: &mut ReadyQueue) -> Vec<UnitKey> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    fn count(units: &[UnitKey], registry: &str) -> usize {
        units.iter().filter(|unit| &*unit.registry == registry).count()
    }

    #[test]
    fn one_registry_leaves_slots_to_others() {
        let mut queue = queue(&["slow", "fast"]);
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
        let mut queue = queue(&["r0", "r1", "r2", "r3", "r4", "r5"]);
        (0..6).for_each(|at| queue.push(unit("greedy", at, &format!("r{at}"))));
        (0..6).for_each(|at| queue.push(unit("modest", at, &format!("r{at}"))));
        let running = all(&mut queue);
        let greedy = running.iter().filter(|unit| unit.stream.namespace == "greedy").count();
        assert!(running.len() == 6 && greedy <= 4, "{running:?}");
    }

    #[test]
    fn registries_on_probation_hold_few_slots() {
        let mut queue = queue(&["good"]);
        for registry in ["a", "b", "c", "d", "e"] {
            (0..2).for_each(|at| queue.push(unit("ns", at, registry)));
        }
        assert_eq!(all(&mut queue).len(), 2, "those of one namespace");
        ["a", "c", "d", "e"].iter().for_each(|registry| queue.push(unit("other", 0, registry)));
        queue.push(unit("other", 0, "good"));
        let more = all(&mut queue);
        assert_eq!((more.len(), count(&more, "good")), (3, 1));
    }

    #[test]
    fn registry_that_responds_leaves_probation_until_it_fails() {
        let mut queue = queue(&[]);
        (0..5).for_each(|at| queue.push(unit("ns", at, "r")));
        let first = all(&mut queue);
        assert_eq!(first.len(), 1);
        queue.end(&first[0], RegistryHealth::Responding);
        let running = all(&mut queue);
        assert_eq!(running.len(), 3);
        running.iter().for_each(|unit| queue.end(unit, RegistryHealth::Failing));
        queue.push(unit("ns", 5, "r"));
        assert_eq!(all(&mut queue).len(), 1);
    }

    #[test]
    fn namespaces_of_a_registry_take_turns() {
        let mut queue = queue(&[]);
        (0..3).for_each(|at| queue.push(unit("a", at, "r")));
        queue.push(unit("b", 0, "r"));
        let mut order = Vec::new();
        while let Some(unit) = queue.pop() {
            queue.end(&unit, RegistryHealth::Failing);
            order.push(unit.stream.namespace.clone());
        }
        assert_eq!(order, ["a", "b", "a", "a"]);
    }
}
