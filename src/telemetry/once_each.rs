//! Logged values, so that each of several concurrent errors is logged once.

use std::collections::HashSet;
use std::hash::Hash;

/// Values that were logged since the last reset.
#[derive(Debug)]
pub struct OnceEach<T> {
    logged: HashSet<T>,
    capacity: usize,
}

impl<T: Eq + Hash> OnceEach<T> {
    /// Set of at most `capacity` values, for values that clients can choose. Further values are not
    /// logged.
    pub fn bounded(capacity: usize) -> Self {
        Self { logged: HashSet::new(), capacity }
    }

    /// Records a value. Returns true if it is new and should be logged.
    pub fn record(&mut self, value: T) -> bool {
        self.logged.len() < self.capacity && self.logged.insert(value)
    }

    /// Records all current values and forgets the others. Returns those that should be logged, in
    /// their order.
    pub fn record_all(&mut self, values: Vec<T>) -> Vec<T>
    where
        T: Clone,
    {
        self.logged.retain(|logged| values.contains(logged));
        values.into_iter().filter(|value| self.record(value.clone())).collect()
    }

    /// Forgets all values. Returns false if there are none.
    pub fn reset(&mut self) -> bool {
        let had_any = !self.logged.is_empty();
        self.logged.clear();
        had_any
    }
}

impl<T: Eq + Hash> Default for OnceEach<T> {
    fn default() -> Self {
        Self::bounded(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_logged_once_until_the_reset() {
        let mut logged = OnceEach::default();
        assert_eq!(["a", "b", "a"].map(|value| logged.record(value)), [true, true, false]);
        assert!(logged.reset() && !logged.reset());
        assert!(logged.record("a"));
    }

    #[test]
    fn values_beyond_the_capacity_are_not_logged() {
        let mut logged = OnceEach::bounded(2);
        assert_eq!([1, 2, 3].map(|value| logged.record(value)), [true, true, false]);
    }

    #[test]
    fn value_that_returns_is_logged_again() {
        let mut logged = OnceEach::default();
        assert_eq!(logged.record_all(vec!["a", "b"]), ["a", "b"]);
        assert_eq!(logged.record_all(vec!["b", "c"]), ["c"]);
        assert_eq!(logged.record_all(vec!["a", "b"]), ["a"]);
    }
}
