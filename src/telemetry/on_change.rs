//! The last state that was logged, so that a state that lasts is logged once.

/// The last state that was logged. Absent until the first one is recorded.
#[derive(Debug)]
pub struct OnChange<T>(Option<T>);

impl<T: PartialEq> OnChange<T> {
    /// A state that needs no log line while it lasts, such as that of a start without a fault.
    pub fn from_initial(state: T) -> Self {
        Self(Some(state))
    }

    /// Records a state. Returns true if it differs from the last one and is to be logged.
    pub fn record(&mut self, state: T) -> bool {
        self.record_if(state, T::ne)
    }
}

impl<T> OnChange<T> {
    /// Records a state if it differs from the last one by a measure of the caller. Returns true if
    /// it does and is to be logged; otherwise the last one stays, so that small steps add up.
    pub fn record_if(&mut self, state: T, differs: impl FnOnce(&T, &T) -> bool) -> bool {
        let is_new = self.0.as_ref().is_none_or(|last| differs(&state, last));
        if is_new {
            self.0 = Some(state);
        }
        is_new
    }
}

impl<T> Default for OnChange<T> {
    fn default() -> Self {
        Self(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_new_until_it_is_recorded_and_when_it_comes_back() {
        let mut logged = OnChange::default();
        let news = [1, 1, 2, 1].map(|state| logged.record(state));
        assert_eq!(news, [true, false, true, true]);
        assert!(!OnChange::from_initial(1).record(1));
    }

    #[test]
    fn small_steps_add_up() {
        let mut logged = OnChange::default();
        let news = [10, 12, 14, 16].map(|state| logged.record_if(state, |new: &i32, last| new - last > 3));
        assert_eq!(news, [true, false, true, false]);
    }
}
