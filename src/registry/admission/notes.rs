//! Warnings and audit annotations of the admission of a request.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

/// Warnings and audit annotations that admission plugins add to a request. Copies share them. The
/// default drops them, as for reads and for parts of this process.
#[derive(Clone, Debug, Default)]
pub struct AdmissionNotes(Option<Arc<Mutex<NoteLists>>>);

#[derive(Debug, Default)]
struct NoteLists {
    warnings: Vec<String>,
    warning_chars: usize,
    annotations: BTreeMap<String, String>,
    annotation_bytes: usize,
}

/// The number of characters of all warnings from which on each is truncated:
/// `truncateAtTotalRunes` in k8s.io/apiserver/pkg/endpoints/filters/warning.go.
const MAX_WARNING_CHARS: usize = 4 << 10;
/// The length of a truncated warning, in characters: `truncateItemRunes` in the same file.
const MAX_TRUNCATED_CHARS: usize = 256;
/// The maximum size of all audit annotations, in bytes.
const MAX_ANNOTATION_BYTES: usize = 64 << 10;

impl AdmissionNotes {
    /// Notes for a request.
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Adds a warning for the client. Repeated ones, and those beyond the limits, are dropped.
    pub fn warn(&self, text: &str) {
        let Some(lists) = &self.0 else { return };
        let mut lists = lists.lock();
        if lists.warnings.iter().any(|earlier| earlier == text) {
            return;
        }
        let room = MAX_WARNING_CHARS.saturating_sub(lists.warning_chars);
        let chars = text.chars().count();
        let kept = if chars > room { chars.min(room).min(MAX_TRUNCATED_CHARS) } else { chars };
        if kept > 0 {
            lists.warning_chars += kept;
            lists.warnings.push(text.chars().take(kept).collect());
        }
    }

    /// Sets an audit annotation. Those beyond the limit are dropped.
    pub fn annotate(&self, key: String, value: String) {
        let Some(lists) = &self.0 else { return };
        let mut lists = lists.lock();
        let bytes = lists.annotation_bytes + key.len() + value.len();
        if bytes <= MAX_ANNOTATION_BYTES {
            lists.annotation_bytes = bytes;
            lists.annotations.insert(key, value);
        }
    }

    /// Takes the warnings.
    pub fn take_warnings(&self) -> Vec<String> {
        self.0.as_ref().map(|lists| mem::take(&mut lists.lock().warnings)).unwrap_or_default()
    }

    /// Takes the audit annotations.
    pub fn take_annotations(&self) -> BTreeMap<String, String> {
        self.0.as_ref().map(|lists| mem::take(&mut lists.lock().annotations)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_distinct_and_bounded() {
        let notes = AdmissionNotes::new();
        notes.warn("twice");
        notes.warn("twice");
        for number in 0..100 {
            notes.warn(&format!("{number:1000}"));
        }
        let warnings = notes.take_warnings();
        assert_eq!(warnings[0], "twice");
        let chars: usize = warnings.iter().map(|warning| warning.chars().count()).sum();
        assert!(warnings.len() > 4 && chars <= MAX_WARNING_CHARS, "{chars}");
        assert!(notes.take_warnings().is_empty());
    }

    #[test]
    fn annotations_are_bounded() {
        let notes = AdmissionNotes::new();
        for number in 0..100 {
            notes.annotate(number.to_string(), "x".repeat(1000));
        }
        assert!((50..70).contains(&notes.take_annotations().len()));
    }
}
