//! `Digest`: a content digest such as `sha256:…`, parsed and computed as by
//! github.com/opencontainers/go-digest.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::meta::hex;

/// Hash algorithm of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the algorithm of registries.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A well-formed digest such as `sha256:…`. The length of the hex part matches the algorithm.
///
/// Uppercase hex digits are kept. Digests are equal if their texts are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    text: String,
}

/// Error of parsing a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// The text does not have the form `<algorithm>:<hex>`.
    #[error("invalid checksum digest format")]
    Format,
    /// The length of the hex part does not match the algorithm.
    #[error("invalid checksum digest length")]
    Length,
    /// The algorithm is not supported.
    #[error("unsupported digest algorithm")]
    Algorithm,
}

/// Remedy for two digests that differ only in the case of their digits; empty for any others.
pub fn case_remedy(one: &str, other: &str) -> &'static str {
    match one != other && one.eq_ignore_ascii_case(other) {
        true => "; write the hexadecimal digits of digests in lower case",
        false => "",
    }
}

/// Returns true if `text` is a well-formed digest.
pub fn is_digest(text: &str) -> bool {
    split(text).is_ok()
}

/// Returns the hex part of a well-formed digest.
pub fn hex_of(text: &str) -> Option<&str> {
    split(text).ok().map(|(_, hex)| hex)
}

impl Digest {
    /// Computes the SHA-256 digest of `bytes`.
    pub fn sha256_of(bytes: impl AsRef<[u8]>) -> Self {
        Self::compute(Algorithm::Sha256, bytes.as_ref())
    }

    /// Returns the hash algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the part after the colon.
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.name().len() + 1..]
    }

    /// Returns the digest as `<algorithm>:<hex>`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Computes the digest of `bytes` with the algorithm of this digest. The result equals this
    /// digest if `bytes` is its content.
    pub fn digest_of(&self, bytes: impl AsRef<[u8]>) -> Self {
        Self::compute(self.algorithm, bytes.as_ref())
    }

    fn compute(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let hex = match algorithm {
            Algorithm::Sha256 => hex::encode(&Sha256::digest(bytes)),
            Algorithm::Sha384 => hex::encode(&Sha384::digest(bytes)),
            Algorithm::Sha512 => hex::encode(&Sha512::digest(bytes)),
        };
        Self { algorithm, text: format!("{}:{hex}", algorithm.name()) }
    }
}

impl Algorithm {
    /// Returns the name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let (algorithm, _) = split(text)?;
        Ok(Self { algorithm, text: text.into() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn split(text: &str) -> Result<(Algorithm, &str), ParseDigestError> {
    let (name, hex) = text.split_once(':').ok_or(ParseDigestError::Format)?;
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+.".contains(&byte);
    if name.is_empty()
        || hex.is_empty()
        || !name.bytes().all(in_name)
        || !hex.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return Err(ParseDigestError::Format);
    }
    let known = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
    let algorithm =
        known.into_iter().find(|each| each.name() == name).ok_or(ParseDigestError::Algorithm)?;
    match hex.len() == algorithm.hex_length() {
        true => Ok((algorithm, hex)),
        false => Err(ParseDigestError::Length),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn empty_content_has_the_known_digest() {
        let digest = Digest::sha256_of("");
        assert_eq!(
            digest.hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.algorithm(), Algorithm::Sha256);
    }

    #[test]
    fn content_is_verified_with_the_algorithm_of_its_name() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let name = Digest::compute(algorithm, b"content");
            assert_eq!(name.digest_of("content"), name);
            assert_ne!(name.digest_of("other"), name);
        }
    }

    #[test]
    fn digests_in_upper_case_have_a_remedy() {
        let digest = Digest::sha256_of("").to_string();
        assert!(case_remedy(&digest.to_uppercase(), &digest).ends_with("in lower case"));
        assert_eq!(case_remedy(&digest, &digest), "");
        assert_eq!(case_remedy(&digest, "sha256:ab"), "");
    }

    #[test]
    fn errors_name_the_invalid_part() {
        let parse = |text: &str| text.parse::<Digest>().map(|digest| digest.text);
        for text in ["", "sha256", "sha256:", ":ab", "sha256:xyz", "sha 256:ab", "sha256:ab:cd"] {
            assert_eq!(parse(text), Err(ParseDigestError::Format), "{text}");
        }
        assert_eq!(parse("sha256:ab"), Err(ParseDigestError::Length));
        assert_eq!(parse(&format!("md5:{}", "a".repeat(32))), Err(ParseDigestError::Algorithm));
        assert!(parse(&format!("sha256:{}", "A".repeat(64))).is_ok());
        assert_eq!(parse(&format!("SHA256:{}", "a".repeat(64))), Err(ParseDigestError::Algorithm));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_digest_that_prints_as_it_was_or_an_error(text in ".*|(sha256|sha512|x):[0-9a-f]{0,130}") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), text.clone());
                prop_assert!(text.ends_with(digest.hex()));
            }
        }
    }
}
