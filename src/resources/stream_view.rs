//! Views of streams for reads of their images.

use std::collections::BTreeMap;

use super::revision_cache::MemorySize;
use crate::domain::stream_index::StreamIndex;
use crate::store::Key;

/// The parts of a stream that reads of its images need, at one revision.
#[derive(Debug)]
pub struct StreamView {
    /// The key of the stream.
    pub(super) key: Key,
    /// The JSON of the annotations; empty if there are none.
    pub annotations: Vec<u8>,
    /// The images in the histories of the tags.
    pub history: StreamIndex,
    /// The images that the stream has without proof, with their UIDs.
    pub unproved: BTreeMap<String, String>,
}

impl MemorySize for StreamView {
    fn memory_size(&self) -> usize {
        /// Estimated memory of a map entry besides its strings, in bytes.
        const ENTRY: usize = 64;
        let unproved: usize =
            self.unproved.iter().map(|(name, uid)| name.len() + uid.len() + ENTRY).sum();
        self.annotations.len() + self.history.size() + unproved
    }
}
