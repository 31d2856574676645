//! Sizes for people.

/// Number of bytes, formatted for people.
pub(super) fn size(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    let kib = bytes as f64 / KIB;
    if kib < KIB { format!("{kib:.1} KiB") } else { format!("{:.1} MiB", kib / KIB) }
}
