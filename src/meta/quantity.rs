//! Quantities of resources, such as `10`, `1500m` or `1Ki`, as in
//! k8s.io/apimachinery/pkg/api/resource/quantity.go.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// An amount with the format in which it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// Billionths, the smallest unit.
    nanos: i128,
    format: QuantityFormat,
}

/// The format of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QuantityFormat {
    /// Powers of 1000 as letters: `n u m k M G T P E`.
    Decimal,
    /// Powers of 1000 as exponents: `e3`.
    Exponent,
    /// Powers of 1024 as letters: `Ki Mi Gi Ti Pi Ei`.
    Binary,
}

/// A text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a quantity, such as 10 or 1Gi: {0:?}")]
pub struct ParseQuantityError(String);

const NANOS: i128 = 1_000_000_000;
/// Decimal suffixes with their exponents.
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
/// Binary suffixes, each 1024 times the one before.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// The most digits of a quantity. More do not change an amount that fits.
const MAX_DIGITS: usize = 30;

impl Quantity {
    /// A number of objects.
    pub fn of_count(count: u64) -> Self {
        Self { nanos: i128::from(count) * NANOS, format: QuantityFormat::Decimal }
    }

    /// A number of bytes.
    pub fn of_bytes(bytes: i64) -> Self {
        Self { nanos: i128::from(bytes) * NANOS, format: QuantityFormat::Binary }
    }

    /// The sum, in the format of this quantity. It ends at the largest amount.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_add(other.nanos), ..self }
    }

    /// The difference, in the format of this quantity.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_sub(other.nanos), ..self }
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, ParseQuantityError> {
        parse(text).ok_or_else(|| ParseQuantityError(text.chars().take(MAX_DIGITS).collect()))
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let (is_negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = unsigned.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, suffix) = unsigned.split_at(end.unwrap_or(unsigned.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    if digits.is_empty() || digits.len() > MAX_DIGITS || fraction.contains('.') {
        return None;
    }
    let digits: i128 = digits.parse().ok()?;
    let fraction = i32::try_from(fraction.len()).ok()?;
    let (format, factor, exponent) = unit_of(suffix)?;
    // Smaller amounts than a billionth count as one.
    let exponent = exponent.checked_sub(fraction)?.checked_add(9)?;
    let scaled = scale(digits.checked_mul(factor)?, exponent)?;
    let nanos = if is_negative { -scaled } else { scaled };
    Some(Quantity { nanos, format })
}

/// The format, the factor and the power of ten of a suffix.
fn unit_of(suffix: &str) -> Option<(QuantityFormat, i128, i32)> {
    if let Some(at) = BINARY.iter().position(|binary| *binary == suffix) {
        let power = u32::try_from(at + 1).ok()?;
        return Some((QuantityFormat::Binary, 1024_i128.pow(power), 0));
    }
    if let Some((_, exponent)) = DECIMAL.iter().find(|(decimal, _)| *decimal == suffix) {
        return Some((QuantityFormat::Decimal, 1, *exponent));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((QuantityFormat::Exponent, 1, exponent))
}

/// `digits` times a power of ten, rounded up.
fn scale(digits: i128, exponent: i32) -> Option<i128> {
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    match (exponent >= 0, power) {
        _ if digits == 0 => Some(0),
        (true, power) => digits.checked_mul(power?),
        (false, Some(power)) => Some(digits / power + i128::from(digits % power != 0)),
        (false, None) => Some(1),
    }
}

impl fmt::Display for Quantity {
    /// The canonical form, as `CanonicalizeBytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_small = self.nanos.unsigned_abs() < (1024 * NANOS).unsigned_abs();
        match self.format {
            QuantityFormat::Binary if !is_small => self.fmt_binary(f),
            QuantityFormat::Binary | QuantityFormat::Decimal => {
                let (mantissa, at) = self.decimal();
                write!(f, "{mantissa}{}", DECIMAL[at].0)
            }
            QuantityFormat::Exponent => match self.decimal() {
                (mantissa, at) if DECIMAL[at].1 == 0 => write!(f, "{mantissa}"),
                (mantissa, at) => write!(f, "{mantissa}e{}", DECIMAL[at].1),
            },
        }
    }
}

impl Quantity {
    /// The amount in the largest decimal unit that divides it, and the place of the unit.
    fn decimal(self) -> (i128, usize) {
        if self.nanos == 0 {
            return (0, DECIMAL.iter().position(|(suffix, _)| suffix.is_empty()).unwrap_or(0));
        }
        let (mut mantissa, mut at) = (self.nanos, 0);
        while mantissa % 1000 == 0 && at + 1 < DECIMAL.len() {
            (mantissa, at) = (mantissa / 1000, at + 1);
        }
        (mantissa, at)
    }

    fn fmt_binary(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up = i128::from(self.nanos % NANOS != 0) * self.nanos.signum();
        let (mut mantissa, mut units) = (self.nanos / NANOS + up, "");
        for unit in BINARY {
            if mantissa % 1024 != 0 {
                break;
            }
            (mantissa, units) = (mantissa / 1024, unit);
        }
        write!(f, "{mantissa}{units}")
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn canonical_forms_are_those_of_kubernetes() {
        for (text, canonical) in [
            ("0", "0"),
            ("0Ki", "0"),
            ("2", "2"),
            ("1000", "1k"),
            ("1001", "1001"),
            ("1500m", "1500m"),
            ("1.5", "1500m"),
            ("0.5Ki", "512"),
            ("1024Ki", "1Mi"),
            ("1025Ki", "1025Ki"),
            ("1e3", "1e3"),
            ("12E", "12E"),
            ("1E2", "100"),
            ("-2k", "-2k"),
            ("+3", "3"),
            (".5", "500m"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("1.1Ki", "1127"),
        ] {
            assert_eq!(of(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_quantities() {
        let long = "9".repeat(31);
        for text in ["", "-", ".", "1.2.3", "Ki", "1ki", "1 ", "1e", "1eE", "1e99", "é", &long] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
        assert_eq!(of("1e-999999999").to_string(), "1e-9", "rounded up");
        assert!("1e2147483647".parse::<Quantity>().is_err());
    }

    #[test]
    fn amounts_compare_across_formats() {
        assert_eq!(of("1k"), of("1e3"));
        assert!(of("1Ki") > of("1k") && of("1023m") < of("2"));
        assert_eq!(of("999").plus(Quantity::of_count(1)).to_string(), "1k");
        assert_eq!(Quantity::of_bytes(5000).to_string(), "5000");
        assert_eq!(Quantity::of_bytes(4096).to_string(), "4Ki");
    }
}
