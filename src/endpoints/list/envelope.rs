//! The parts of a list around its items.

/// The parts of a list around its items, in compact JSON.
pub(super) struct ListEnvelope {
    /// The JSON before the items, up to the colon after their key.
    pub(super) head: Vec<u8>,
    /// The key of the items: `items`, or `rows` in a table.
    pub(super) key: &'static str,
    /// The value of the key if there are no items.
    pub(super) empty: &'static str,
}

impl ListEnvelope {
    /// The JSON of the list without items.
    pub(super) fn empty_list(&self) -> Vec<u8> {
        [&self.head, &b"[]}"[..]].concat()
    }
}
