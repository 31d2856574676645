//! The damaged values that reads have met.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::{Key, Revision};

/// The most values that are remembered. Each key has at most 1 KiB.
const MAX_VALUES: usize = 1000;

/// The damaged values that reads have met, by key and the revision that wrote the value.
#[derive(Default)]
pub(super) struct DamagedValues(Mutex<BTreeSet<(Key, Revision)>>);

impl DamagedValues {
    /// Remembers a value, unless there are too many.
    pub(super) fn add(&self, key: &Key, revision: Revision) {
        let mut values = self.lock();
        if values.len() < MAX_VALUES {
            values.insert((key.clone(), revision));
        }
    }

    /// Returns true if no damaged value was met.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The values under a prefix that are still current. Forgets the others.
    pub(super) fn under(
        &self,
        prefix: &str,
        is_current: impl Fn(&Key, Revision) -> bool,
    ) -> Vec<(Key, Revision)> {
        let first = (Key::new(prefix), Revision(0));
        let mut values = self.lock();
        let found: Vec<_> = values
            .range(first..)
            .take_while(|(key, _)| key.as_str().starts_with(prefix))
            .cloned()
            .collect();
        let (current, replaced): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(key, revision)| is_current(key, *revision));
        replaced.iter().for_each(|value| {
            values.remove(value);
        });
        current
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Key, Revision)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
