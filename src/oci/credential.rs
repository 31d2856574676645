//! `Credential`: the means to authenticate to a registry.

use std::fmt;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::HeaderValue;

/// A credential of a Secret or of `--registry-config`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Credential {
    owner: Arc<str>,
    source: Arc<str>,
    key: Arc<str>,
    secret: Arc<CredentialSecret>,
}

/// Secret part of a credential.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum CredentialSecret {
    /// User and password, both not empty.
    Password { user: String, password: String },
    /// Token that a token server exchanges for an access token (`identitytoken`).
    IdentityToken(String),
    /// Token for the registry itself (`registrytoken`).
    RegistryToken(String),
}

impl Credential {
    /// A credential of a namespace; of the server if `owner` is empty.
    pub(super) fn new(
        owner: &Arc<str>,
        source: &Arc<str>,
        key: &str,
        secret: CredentialSecret,
    ) -> Self {
        let (owner, source) = (owner.clone(), source.clone());
        Self { owner, source, key: key.into(), secret: Arc::new(secret) }
    }

    /// Returns the name for messages, such as `secret "pull", entry "quay.io"`.
    pub fn name(&self) -> String {
        format!("{}, entry {:?}", self.source, self.key)
    }

    pub(super) fn secret(&self) -> &CredentialSecret {
        &self.secret
    }
}

impl CredentialSecret {
    /// The user and the `Authorization` header of the scheme Basic. None for tokens.
    pub(super) fn basic(&self) -> Option<(&str, HeaderValue)> {
        let Self::Password { user, password } = self else { return None };
        let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
        Some((user, secret_header(&format!("Basic {encoded}"))?))
    }
}

/// A header value that `Debug` redacts. None if the text has control characters.
pub(super) fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for CredentialSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password(redacted)",
            Self::IdentityToken(_) => "IdentityToken(redacted)",
            Self::RegistryToken(_) => "RegistryToken(redacted)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_no_secrets() {
        let secret = CredentialSecret::Password { user: "mal".into(), password: "serenity".into() };
        let (user, header) = secret.basic().unwrap();
        assert_eq!((user, header.as_bytes()), ("mal", b"Basic bWFsOnNlcmVuaXR5".as_slice()));
        let credential = Credential::new(&"ns".into(), &"secret \"s\"".into(), "r.io", secret);
        let text = format!("{credential:?} {header:?}");
        assert!(!text.contains("serenity") && !text.contains("bWFs"), "{text}");
        assert_eq!(credential.name(), "secret \"s\", entry \"r.io\"");
    }
}
