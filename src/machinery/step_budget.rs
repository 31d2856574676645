//! Step budget of a patch: an upper bound on the work that one request may cause.
//!
//! Most of what a patch does costs as much as the bytes that are read for it. The few operations that can cost more, such as
//! inserting at the front of a long list, take steps from a `StepBudget` before they start.

use serde_json::Value;

use crate::meta::Status;

/// The factor `c` of the budget `c * n * log2(n)`.
///
/// With 4 a patch of the most operations may remove the first item of a list each time, however long the list is, as long
/// as its items take 128 bytes or more.
const FACTOR: u64 = 4;
/// The steps that every patch has, however small it is. Moving as many values takes some ten milliseconds.
const MIN_STEPS: u64 = 1 << 22;

/// The steps that are left to a patch. One step moves or visits one value, or reads one byte.
#[derive(Clone, Debug)]
pub(crate) struct StepBudget {
    left: u64,
}

/// The budget of a patch is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BudgetExhausted;

impl StepBudget {
    /// The budget for `bytes`, the size of the patch and of the object that it changes: `4 * n * log2(n)`, but at least
    /// four million steps.
    pub(crate) fn for_size(bytes: usize) -> Self {
        let n = u64::try_from(bytes).unwrap_or(u64::MAX).max(2);
        Self { left: FACTOR.saturating_mul(n).saturating_mul(u64::from(n.ilog2())).max(MIN_STEPS) }
    }

    /// Takes `count` steps from the budget.
    ///
    /// # Errors
    /// Fewer steps are left. The work must not be done then.
    pub(crate) fn take(&mut self, count: usize) -> Result<(), BudgetExhausted> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(count).ok_or(BudgetExhausted)?;
        Ok(())
    }
}

impl BudgetExhausted {
    /// The answer to such a patch: 413.
    pub(crate) fn status(self) -> Status {
        let text = "the patch takes more steps than the server allows for its size and that of the object \
                    (4 * n * log2(n) for n bytes of both): split it up, or replace whole lists instead of moving their items";
        Status::failure(413, "RequestEntityTooLarge", text)
    }
}

/// The approximate size of a value as compact JSON, in bytes. Each value counts.
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

/// The approximate size of a list as compact JSON, in bytes.
pub(crate) fn list_json_size(items: &[Value]) -> usize {
    items.iter().map(|item| json_size(item) + 1).sum::<usize>() + 2
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_budget_grows_with_the_bytes_and_has_a_floor() {
        for (bytes, steps) in
            [(0, MIN_STEPS), (1 << 10, MIN_STEPS), (1 << 20, (4 * 20) << 20), (1 << 24, (4 * 24) << 24)]
        {
            assert_eq!(StepBudget::for_size(bytes).left, steps, "{bytes}");
        }
        assert_eq!(StepBudget::for_size(usize::MAX).left, u64::MAX);
    }

    #[test]
    fn what_exceeds_a_budget_is_refused() {
        let mut steps = StepBudget { left: 5 };
        assert_eq!((steps.take(5), steps.take(0), steps.take(1)), (Ok(()), Ok(()), Err(BudgetExhausted)));
        assert_eq!(BudgetExhausted.status().code, 413);
    }

    #[test]
    fn the_weight_of_a_value_is_about_its_length_as_json() {
        let value = json!({"a": [1, "two", null, {}, []], "b": {"c": true}});
        let written = value.to_string().len();
        assert!((written - 4..written + 8).contains(&json_size(&value)), "{} for {written}", json_size(&value));
    }
}
