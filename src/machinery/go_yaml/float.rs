//! Floating-point numbers as Go formats them in keys.

/// Formats a number as `strconv.FormatFloat(number, 'g', -1, 32)`, with YAML's names for special
/// values.
pub(super) fn key(number: f64) -> String {
    let number = number as f32;
    if number.is_nan() {
        return ".nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf".into() } else { "-.inf".into() };
    }
    // The shortest digits that give the same number, as in Go.
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is an integer");
    /// Exponents outside of this range are written as such.
    const PLAIN: std::ops::Range<i32> = -4..6;
    if !PLAIN.contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn keys_have_the_format_of_go() {
        for (number, expected) in [
            (1.0, "1"),
            (1.5, "1.5"),
            (-0.25, "-0.25"),
            (123_456.0, "123456"),
            (1_500_000.0, "1.5e+06"),
            (1e100, ".inf"),
            (0.0001, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (f64::NAN, ".nan"),
            (f64::NEG_INFINITY, "-.inf"),
        ] {
            assert_eq!(key(number), expected);
        }
    }
}
