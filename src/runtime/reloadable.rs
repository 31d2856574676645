//! Values that are loaded again while the process runs, such as from files that are replaced.

use std::fmt::Display;

use parking_lot::{Mutex, RwLock};

use crate::telemetry::OnChange;

/// A value that is loaded again from time to time. A value that cannot be loaded leaves the present
/// one in use.
///
/// As the `dynamiccertificates` package of `k8s.io/apiserver`, sources are read on a timer: volumes
/// of Secrets and ConfigMaps swap a symlink, which watches of files miss.
#[derive(Debug)]
pub struct Reloadable<T> {
    value: RwLock<T>,
    last_error: Mutex<OnChange<Option<String>>>,
}

/// The outcome of a reload.
#[derive(Debug, PartialEq, Eq)]
pub enum Reload<E> {
    /// The value is the same, or the reload failed for the same reason as the last one.
    Unchanged,
    /// The value is a new one.
    Replaced,
    /// The reload failed for a new reason.
    Failed(E),
}

impl<T> Reloadable<T> {
    /// The value that was loaded first.
    pub fn new(value: T) -> Self {
        Self { value: RwLock::new(value), last_error: Mutex::new(OnChange::from_initial(None)) }
    }

    /// Returns what `read` takes of the present value.
    pub fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.value.read())
    }

    /// Takes the outcome of loading the value again. `is_same` compares the loaded value with the
    /// present one.
    pub fn reload<E: Display>(&self, loaded: Result<T, E>, is_same: impl FnOnce(&T, &T) -> bool) -> Reload<E> {
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
    fn a_value_stays_until_another_one_can_be_loaded() {
        let value = Reloadable::new(1);
        let reload = |loaded: Result<i32, &'static str>| (value.reload(loaded, i32::eq), value.with(|value| *value));
        assert_eq!(reload(Ok(1)), (Reload::Unchanged, 1));
        assert_eq!(reload(Err("gone")), (Reload::Failed("gone"), 1));
        assert_eq!(reload(Err("gone")), (Reload::Unchanged, 1));
        assert_eq!(reload(Err("broken")), (Reload::Failed("broken"), 1));
        assert_eq!(reload(Ok(2)), (Reload::Replaced, 2));
        assert_eq!(reload(Err("broken")), (Reload::Failed("broken"), 2));
    }
}
