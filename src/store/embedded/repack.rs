//! Compression of the values that a format before 4 has stored, in bounded steps, each part of a
//! group. Compaction takes these steps after its own, and defragmentation takes all at once.
//!
//! A step moves values between tables in one transaction, so a crash loses none: the next start
//! begins again with those that are left. Replaced values are left to compaction.

use std::time::Instant;

use super::values::RepackedRow;

/// The progress of the compression of a file.
#[derive(Debug, Default)]
pub(super) struct Repacking {
    /// The time of the first step that moved a value.
    started: Option<Instant>,
    /// The last key that was visited.
    pub(super) visited: Vec<u8>,
    pub(super) is_done: bool,
    values: u64,
    /// Bytes of these values in the file before they were moved.
    pub(super) bytes_before: u64,
    bytes_after: u64,
}

impl Repacking {
    /// Counts a value that was moved.
    pub(super) fn add(&mut self, row: RepackedRow) {
        if self.started.is_none() {
            tracing::info!("compressing the values of an earlier format");
        }
        self.started.get_or_insert_with(Instant::now);
        self.values += 1;
        self.bytes_before += row.before;
        self.bytes_after += row.after;
    }

    /// Ends with the last value.
    pub(super) fn finish(&mut self) {
        self.is_done = true;
        if let Some(started) = self.started {
            let Self { values, bytes_before, bytes_after, .. } = self;
            let seconds = started.elapsed().as_secs_f64();
            tracing::info!(
                values,
                bytes_before,
                bytes_after,
                seconds,
                "compressed the values of an earlier format"
            );
        }
    }
}
