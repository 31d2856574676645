//! Limits of the maps and lists in object metadata.
//!
//! An object that already exceeds a limit can still be updated if the update does not add to it.

use crate::meta::{ObjectMeta, field};

/// The maximum size of all labels, keys and values, in bytes. Kubernetes limits only annotations.
const MAX_LABEL_BYTES: usize = 256 << 10;
/// The maximum number of owner references.
const MAX_OWNERS: usize = 1_000;
/// The maximum number of finalizers.
const MAX_FINALIZERS: usize = 1_000;

/// Returns an error for each limit that `new` exceeds and by which it is larger than `old`.
pub(super) fn errors(old: Option<&ObjectMeta>, new: &ObjectMeta) -> field::Errors {
    let mut errors = field::Errors::default();
    let grows = |size: fn(&ObjectMeta) -> usize, max: usize| {
        let actual = size(new);
        (actual > max && old.is_none_or(|old| actual > size(old))).then_some(actual)
    };
    if let Some(bytes) = grows(label_bytes, MAX_LABEL_BYTES) {
        errors.push_with(|| field::Error::longer("metadata.labels", bytes, MAX_LABEL_BYTES));
    }
    if let Some(count) = grows(|meta| meta.owner_references.len(), MAX_OWNERS) {
        errors.push_with(|| field::Error::too_many("metadata.ownerReferences", count, MAX_OWNERS));
    }
    if let Some(count) = grows(|meta| meta.finalizers.len(), MAX_FINALIZERS) {
        errors.push_with(|| field::Error::too_many("metadata.finalizers", count, MAX_FINALIZERS));
    }
    errors
}

fn label_bytes(meta: &ObjectMeta) -> usize {
    meta.labels.iter().map(|(key, value)| key.len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::OwnerReference;

    fn with(labels: usize, owners: usize, finalizers: usize) -> ObjectMeta {
        ObjectMeta {
            labels: (0..labels).map(|at| (format!("{at:0>10}"), "x".repeat(54))).collect(),
            owner_references: vec![OwnerReference::default(); owners],
            finalizers: vec!["a/b".into(); finalizers],
            ..ObjectMeta::default()
        }
    }

    fn joined(old: Option<&ObjectMeta>, new: &ObjectMeta) -> String {
        field::join(&errors(old, new))
    }

    #[test]
    fn new_object_is_checked_against_every_limit() {
        assert_eq!(joined(None, &with(4096, MAX_OWNERS, MAX_FINALIZERS)), "[]");
        assert_eq!(
            joined(None, &with(4097, MAX_OWNERS + 1, MAX_FINALIZERS + 1)),
            "[metadata.labels: Too long: may not be more than 262144 bytes, has 262208, metadata.ownerReferences: Too many: \
             1001: must have at most 1000 items, metadata.finalizers: Too many: 1001: must have at most 1000 items]"
        );
    }

    #[test]
    fn object_beyond_a_limit_may_change_but_not_grow() {
        let old = with(5000, 3000, 3000);
        for new in [with(5000, 3000, 3000), with(4999, 2999, 2999)] {
            assert_eq!(joined(Some(&old), &new), "[]");
        }
        let grown = joined(Some(&old), &with(5001, 3000, 3001));
        assert!(grown.contains("metadata.labels") && grown.contains("3001: must"), "{grown}");
        assert!(!grown.contains("ownerReferences"), "{grown}");
    }
}
