//! The parts of a list around its items.

/// What stands envelope the objects of a list.
pub(super) struct ListEnvelope {
    /// The compact JSON before them, up to the colon behind their name.
    pub(super) head: Vec<u8>,
    /// What they are called.
    pub(super) name: &'static str,
    /// What stands in their place where there are none.
    pub(super) empty: &'static str,
}

impl ListEnvelope {
    /// The compact JSON of the list without its objects.
    pub(super) fn empty_list(&self) -> Vec<u8> {
        [&self.head, &b"[]}"[..]].concat()
    }
}
