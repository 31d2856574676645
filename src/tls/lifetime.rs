//! Remaining validity of certificates, for reports to operators.

use jiff::{SignedDuration, Timestamp};

/// Remaining validity below which a certificate ends soon. Certificates that the server creates
/// itself are renewed earlier.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Remaining validity of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It has expired.
    Over,
    /// It expires within 14 days.
    EndsSoon,
    /// It is valid for longer.
    Long,
}

impl Lifetime {
    /// Remaining validity at `now` of a certificate that expires at `expires`.
    pub fn of(expires: Timestamp, now: Timestamp) -> Self {
        match expires.duration_since(now) {
            left if left <= SignedDuration::ZERO => Self::Over,
            left if left < SOON => Self::EndsSoon,
            _ => Self::Long,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_ends_soon_in_its_last_14_days() {
        let now = Timestamp::UNIX_EPOCH;
        for (seconds, expected) in [
            (0, Lifetime::Over),
            (1, Lifetime::EndsSoon),
            (14 * 86400 - 1, Lifetime::EndsSoon),
            (14 * 86400, Lifetime::Long),
        ] {
            assert_eq!(Lifetime::of(now + SignedDuration::from_secs(seconds), now), expected);
        }
    }
}
