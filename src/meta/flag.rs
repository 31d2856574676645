//! Values of flags in the notation of Kubernetes' own programs.

use std::time::Duration;

/// A duration as in Go's flags: `15s`, `1m30s`.
///
/// # Errors
/// What is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(parsed).map_err(|_| "a duration cannot be negative".to_owned())
}

/// A duration that is not zero.
///
/// # Errors
/// What is wrong with it.
pub fn some_duration(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|wanted| if wanted.is_zero() { Err("it must be more than zero".into()) } else { Ok(wanted) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert!(duration("-1s").is_err() && duration("soon").is_err());
        assert!(some_duration("0s").is_err());
    }
}
