//! Sizes in bytes with binary units, such as `384Mi`, in flags.

/// Units by name, as in quantities of Kubernetes.
const UNITS: [(&str, u64); 4] = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("", 1)];

/// Parses a whole number of bytes, `Ki`, `Mi` or `Gi`, which may be written `KiB`, `MiB` or `GiB`.
///
/// # Errors
/// The text is no size, or the size exceeds 2^64 bytes.
pub fn parse(text: &str) -> Result<u64, String> {
    let binary = text.strip_suffix('B').filter(|text| text.ends_with('i')).unwrap_or(text);
    let (number, unit) = UNITS
        .into_iter()
        .find_map(|(name, unit)| Some((binary.strip_suffix(name)?, unit)))
        .unwrap_or((text, 1));
    let number = number.parse::<u64>().ok().filter(|_| !number.starts_with('+'));
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "write a size as in 402653184, 393216Ki, 384Mi or 1Gi".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("3Ki", 3 << 10), ("384Mi", 384 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "Mi", "-1", "+1", "1.5Gi", "1M", "1MB", "1B", "1 Mi", "1mi", "99999999999Gi"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
