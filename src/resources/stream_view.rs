//! The parts of a stream that views of its images need.

use std::collections::BTreeMap;

use super::revision_cache::MemorySize;
use crate::domain::stream_index::StreamIndex;
use crate::store::Key;

/// What is needed of a stream to show its images, as of one revision of the stream.
#[derive(Debug)]
pub struct StreamView {
    /// The key of the stream.
    pub(super) key: Key,
    /// The JSON of the stream's annotations; empty where it has none.
    pub annotations: Vec<u8>,
    /// The images in the history of its tags.
    pub history: StreamIndex,
    /// The images that the stream has without proof, with the UIDs of the images that its mappings made.
    pub unproved: BTreeMap<String, String>,
}

impl MemorySize for StreamView {
    fn memory_size(&self) -> usize {
        /// Memory of an entry of a map besides its texts, about.
        const ENTRY: usize = 64;
        let unproved: usize = self.unproved.iter().map(|(name, uid)| name.len() + uid.len() + ENTRY).sum();
        self.annotations.len() + self.history.size() + unproved
    }
}
