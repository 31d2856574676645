//! `SlotQueue`: the order in which namespaces get the slots of a registry.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Waiters for slots by namespace. Each namespace has its turn, whatever the others ask for: start-time
/// fair queueing with one slot for each turn.
#[derive(Debug)]
pub(super) struct SlotQueue<W> {
    lines: HashMap<Arc<str>, Line<W>>,
    /// The turn that was granted last.
    turn: u64,
    next_ticket: u64,
    /// Maximum number of waiters of a namespace.
    limit: usize,
}

/// The waiters of a namespace. Never empty.
#[derive(Debug)]
struct Line<W> {
    /// The turn of the first waiter.
    turn: u64,
    waiters: VecDeque<(QueueTicket, W)>,
}

/// Identity of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueueTicket(u64);

impl<W> SlotQueue<W> {
    /// A queue with at most `limit` waiters for each namespace.
    pub(super) fn new(limit: usize) -> Self {
        Self { lines: HashMap::new(), turn: 0, next_ticket: 0, limit }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a waiter; none if too many of the namespace wait.
    pub(super) fn push(&mut self, namespace: &Arc<str>, waiter: W) -> Option<QueueTicket> {
        let turn = self.turn + 1;
        let line = self
            .lines
            .entry(namespace.clone())
            .or_insert_with(|| Line { turn, waiters: VecDeque::new() });
        if line.waiters.len() >= self.limit {
            return None;
        }
        let ticket = QueueTicket(self.next_ticket);
        self.next_ticket += 1;
        line.waiters.push_back((ticket, waiter));
        Some(ticket)
    }

    /// Takes the waiter whose turn it is.
    pub(super) fn pop(&mut self) -> Option<W> {
        let first = |line: &Line<W>| line.waiters.front().map(|(ticket, _)| (line.turn, *ticket));
        let next = self.lines.iter().min_by_key(|(_, line)| first(line));
        let namespace = next.map(|(namespace, _)| namespace.clone())?;
        let line = self.lines.get_mut(&namespace)?;
        self.turn = line.turn;
        line.turn += 1;
        let waiter = line.waiters.pop_front();
        if line.waiters.is_empty() {
            self.lines.remove(&namespace);
        }
        waiter.map(|(_, waiter)| waiter)
    }

    /// Removes a waiter, if it still waits.
    pub(super) fn remove(&mut self, namespace: &str, ticket: QueueTicket) {
        let Some(line) = self.lines.get_mut(namespace) else { return };
        line.waiters.retain(|(each, _)| *each != ticket);
        if line.waiters.is_empty() {
            self.lines.remove(namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_take_turns_however_many_of_one_wait() {
        let mut queue = SlotQueue::new(100);
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        for at in 0..50 {
            queue.push(&a, ("a", at)).unwrap();
        }
        assert_eq!(queue.pop(), Some(("a", 0)));
        queue.push(&b, ("b", 0)).unwrap();
        queue.push(&b, ("b", 1)).unwrap();
        let order: Vec<_> = (0..5).filter_map(|_| queue.pop()).collect();
        assert_eq!(order, [("a", 1), ("b", 0), ("a", 2), ("b", 1), ("a", 3)]);
        // A namespace that comes back again and again does not overtake the one that waits.
        for at in 2..5 {
            queue.push(&b, ("b", at)).unwrap();
            let granted = [queue.pop().unwrap().0, queue.pop().unwrap().0];
            assert!(granted.contains(&"a") && granted.contains(&"b"), "{granted:?}");
        }
    }

    #[test]
    fn queue_of_a_namespace_is_limited() {
        let mut queue = SlotQueue::new(2);
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let first = queue.push(&a, 1).unwrap();
        queue.push(&a, 2).unwrap();
        assert_eq!(queue.push(&a, 3), None);
        queue.push(&b, 4).unwrap();
        queue.remove("a", first);
        queue.remove("a", first);
        assert!(queue.push(&a, 5).is_some());
        assert_eq!([queue.pop(), queue.pop(), queue.pop()].map(Option::unwrap), [2, 4, 5]);
        assert!(queue.is_empty() && queue.pop().is_none());
    }
}
