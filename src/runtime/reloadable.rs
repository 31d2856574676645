//! Values that are reloaded while the process runs, such as from files.

use std::fmt::Display;

use parking_lot::{Mutex, RwLock};

use crate::telemetry::OnChange;

/// Value that is reloaded from time to time. If a reload fails, the current value stays in use.
///
/// As the package `k8s.io/apiserver/pkg/server/dynamiccertificates`, callers read their sources on
/// a timer: volumes of Secrets and ConfigMaps swap a symlink, which watches of files miss.
#[derive(Debug)]
pub struct Reloadable<T> {
    value: RwLock<T>,
    last_error: Mutex<OnChange<Option<String>>>,
}

/// Outcome of a reload.
#[derive(Debug, PartialEq, Eq)]
pub enum Reload<E> {
    /// The value is equal, or the reload failed for the same reason as the last one.
    Unchanged,
    /// The value was replaced.
    Replaced,
    /// The reload failed for a new reason.
    Failed(E),
}

impl<T> Reloadable<T> {
    /// Value from the first load.
    pub fn new(value: T) -> Self {
        Self { value: RwLock::new(value), last_error: Mutex::new(OnChange::from_initial(None)) }
    }

    /// Returns the result of `read` on the current value.
    pub fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.value.read())
    }

    /// Records a reload. `is_same` compares the loaded value with the current one.
    pub fn reload<E: Display>(
        &self,
        loaded: Result<T, E>,
        is_same: impl FnOnce(&T, &T) -> bool,
    ) -> Reload<E> {
        let is_new_error = self.last_error.lock().record(loaded.as_ref().err().map(E::to_string));
        match loaded {
            Ok(loaded) => {
                let mut value = self.value.write();
                let is_same = is_same(&loaded, &value);
                *value = loaded;
                if is_same { Reload::Unchanged } else { Reload::Replaced }
            }
            Err(error) if is_new_error => Reload::Failed(error),
            Err(_) => Reload::Unchanged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_stays_until_a_reload_succeeds() {
        let value = Reloadable::new(1);
        let reload = |loaded: Result<i32, &'static str>| {
            (value.reload(loaded, i32::eq), value.with(|value| *value))
        };
        assert_eq!(reload(Ok(1)), (Reload::Unchanged, 1));
        assert_eq!(reload(Err("gone")), (Reload::Failed("gone"), 1));
        assert_eq!(reload(Err("gone")), (Reload::Unchanged, 1));
        assert_eq!(reload(Err("broken")), (Reload::Failed("broken"), 1));
        assert_eq!(reload(Ok(2)), (Reload::Replaced, 2));
        assert_eq!(reload(Err("broken")), (Reload::Failed("broken"), 2));
    }
}
