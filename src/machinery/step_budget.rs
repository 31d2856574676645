//! Step budget of a patch: an upper bound on the work that one request may cause.
//!
//! Most operations of a patch take time in proportion to the bytes that they read. The few that can
//! take more, such as insertion at the front of a long list, take steps from a `StepBudget` before
//! they start.

use serde_json::Value;

use crate::meta::Status;

/// The factor `c` of the budget `c * n * log2(n)`.
///
/// With 4, a patch with the maximum number of operations may remove the first item of a list in
/// each of them if the items take 128 bytes or more, however long the list is.
const FACTOR: u64 = 4;
/// Minimum budget of a patch in steps. Moving as many values takes some ten milliseconds.
const MIN_STEPS: u64 = 1 << 22;

/// Remaining steps of a patch. One step moves or visits one value, or reads one byte.
#[derive(Clone, Debug)]
pub(crate) struct StepBudget {
    left: u64,
}

/// Error for a patch that used up its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BudgetExhausted;

impl StepBudget {
    /// Budget for a patch and the object that it changes, with `bytes` as the sum of their sizes:
    /// `4 * n * log2(n)` steps, at least four million.
    pub(crate) fn for_size(bytes: usize) -> Self {
        let n = u64::try_from(bytes).unwrap_or(u64::MAX).max(2);
        Self { left: FACTOR.saturating_mul(n).saturating_mul(u64::from(n.ilog2())).max(MIN_STEPS) }
    }

    /// Takes `count` steps from the budget.
    ///
    /// # Errors
    /// Fewer than `count` steps are left. The caller must not do the work then.
    pub(crate) fn take(&mut self, count: usize) -> Result<(), BudgetExhausted> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(count).ok_or(BudgetExhausted)?;
        Ok(())
    }
}

impl BudgetExhausted {
    /// 413 for the patch.
    pub(crate) fn status(self) -> Status {
        let text = "the patch takes more steps than the server allows for its size and that of the object \
                    (4 * n * log2(n) for n bytes of both): split it up, or replace whole lists instead of moving their items";
        Status::failure(413, "RequestEntityTooLarge", text)
    }
}

/// Approximate size of a value as compact JSON, in bytes. Every value has a size above zero.
pub(crate) fn json_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => list_json_size(items),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + 4 + json_size(value)).sum::<usize>() + 2
        }
    }
}

/// Approximate size of a list as compact JSON, in bytes.
pub(crate) fn list_json_size(items: &[Value]) -> usize {
    items.iter().map(|item| json_size(item) + 1).sum::<usize>() + 2
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn budgets_grow_with_the_size_and_have_a_minimum() {
        for (bytes, steps) in [
            (0, MIN_STEPS),
            (1 << 10, MIN_STEPS),
            (1 << 20, (4 * 20) << 20),
            (1 << 24, (4 * 24) << 24),
        ] {
            assert_eq!(StepBudget::for_size(bytes).left, steps, "{bytes}");
        }
        assert_eq!(StepBudget::for_size(usize::MAX).left, u64::MAX);
    }

    #[test]
    fn taking_too_many_steps_fails() {
        let mut steps = StepBudget { left: 5 };
        assert_eq!(
            (steps.take(5), steps.take(0), steps.take(1)),
            (Ok(()), Ok(()), Err(BudgetExhausted))
        );
        assert_eq!(BudgetExhausted.status().code, 413);
    }

    #[test]
    fn json_size_is_about_the_length_of_the_json() {
        let value = json!({"a": [1, "two", null, {}, []], "b": {"c": true}});
        let written = value.to_string().len();
        assert!(
            (written - 4..written + 8).contains(&json_size(&value)),
            "{} for {written}",
            json_size(&value)
        );
    }
}
