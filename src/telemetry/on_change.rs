//! Last logged state, so that a lasting state is logged once.

/// Last logged state; absent until the first one is recorded.
#[derive(Debug)]
pub struct OnChange<T>(Option<T>);

impl<T: PartialEq> OnChange<T> {
    /// Initial state that needs no log line, such as a start without an error.
    pub fn from_initial(state: T) -> Self {
        Self(Some(state))
    }

    /// Records a state. Returns true if it differs from the last one and should be logged.
    pub fn record(&mut self, state: T) -> bool {
        self.record_if(state, T::ne)
    }
}

impl<T> OnChange<T> {
    /// Records a state if `differs` returns true. Returns true if the state should be logged;
    /// otherwise the last one stays, so that small steps add up.
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
    fn state_is_new_until_recorded_and_when_it_returns() {
        let mut logged = OnChange::default();
        let news = [1, 1, 2, 1].map(|state| logged.record(state));
        assert_eq!(news, [true, false, true, true]);
        assert!(!OnChange::from_initial(1).record(1));
    }

    #[test]
    fn small_steps_add_up() {
        let mut logged = OnChange::default();
        let news =
            [10, 12, 14, 16].map(|state| logged.record_if(state, |new: &i32, last| new - last > 3));
        assert_eq!(news, [true, false, true, false]);
    }
}
