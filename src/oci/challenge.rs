//! `Challenge`: the authentication that a registry demands in `WWW-Authenticate`.

use http::{HeaderMap, header};
use http_auth::{ChallengeRef, parse_challenges};

/// A challenge of a supported scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password.
    Basic,
    /// A token of a token server.
    Bearer(BearerChallenge),
}

/// Parameters of the scheme Bearer, as in the token specification of the distribution project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BearerChallenge {
    /// URL of the token server.
    pub(super) realm: String,
    /// Name of the registry at the token server.
    pub(super) service: Option<String>,
    /// Permission that a request lacks.
    pub(super) scope: Option<String>,
    /// Reason why a token was refused (RFC 6750).
    pub(super) error: Option<String>,
    /// Explanation of the reason.
    pub(super) error_description: Option<String>,
}

impl Challenge {
    /// Parses the challenges of a response. Malformed headers and other schemes are ignored.
    pub(super) fn all(headers: &HeaderMap) -> Vec<Self> {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        let challenges = values.filter_map(|value| parse_challenges(value).ok()).flatten();
        challenges.filter_map(|challenge| Self::of(&challenge)).collect()
    }

    fn of(challenge: &ChallengeRef<'_>) -> Option<Self> {
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !challenge.scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameter = |name: &str| {
            let mut values = challenge.params.iter();
            let found = values.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty())
        };
        Some(Self::Bearer(BearerChallenge {
            realm: parameter("realm").unwrap_or_default(),
            service: parameter("service"),
            scope: parameter("scope"),
            error: parameter("error"),
            error_description: parameter("error_description"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn all(values: &[&'static str]) -> Vec<Challenge> {
        let pairs =
            values.iter().map(|value| (header::WWW_AUTHENTICATE, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        Challenge::all(&headers)
    }

    #[test]
    fn supported_challenges_are_found_among_others() {
        let found = all(&[
            r#"Digest realm="x", basic realm="r""#,
            r#"bearer realm="https://t/a",service="s",scope="repository:a:pull""#,
        ]);
        let bearer = BearerChallenge {
            realm: "https://t/a".into(),
            service: Some("s".into()),
            scope: Some("repository:a:pull".into()),
            ..BearerChallenge::default()
        };
        assert_eq!(found, [Challenge::Basic, Challenge::Bearer(bearer)]);
    }

    #[test]
    fn malformed_challenges_are_ignored() {
        assert_eq!(all(&["", "=", "Bearer realm=\"unterminated", "Negotiate abc=="]), []);
    }
}
