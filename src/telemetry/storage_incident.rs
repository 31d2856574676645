//! Incidents of the storage, as labels.

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// Storage failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorageIncident {
    /// A read value differs from the written one.
    Damaged,
    /// A write failed for lack of space.
    Full,
    /// The storage failed and was reopened.
    Failed,
}

impl StorageIncident {
    /// All incidents.
    pub(super) const ALL: [Self; 3] = [Self::Damaged, Self::Full, Self::Failed];
}

impl EncodeLabelValue for StorageIncident {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Damaged => "damaged",
            Self::Full => "full",
            Self::Failed => "failed",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}
