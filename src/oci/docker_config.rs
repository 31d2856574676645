//! Parsing of docker configurations: `config.json`, Secrets of the types
//! `kubernetes.io/dockerconfigjson` and `kubernetes.io/dockercfg`.
//!
//! As k8s.io/kubernetes/pkg/credentialprovider/config.go, with the tokens of docker's
//! cli/config/types/authconfig.go.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::credential::CredentialSecret;

/// Format of a docker configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigFormat {
    /// An object with the credentials in `auths`.
    DockerConfigJson,
    /// The credentials themselves.
    DockerCfg,
}

/// Error of a docker configuration. It quotes nothing of the content, which is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a docker configuration in JSON (line {line}, column {column})")]
pub struct DockerConfigError {
    line: usize,
    column: usize,
}

/// The secret of an entry, none if it is empty, or the reason why it is invalid.
pub(super) type ParsedSecret = Result<Option<CredentialSecret>, String>;

#[derive(Deserialize)]
struct DockerConfigFile {
    #[serde(default)]
    auths: Option<BTreeMap<String, AuthEntry>>,
}

/// Entry of a registry. Fields of other types make the entry invalid, not the configuration.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum AuthEntry {
    Fields(AuthFields),
    #[default]
    Empty,
    Invalid(IgnoredAny),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthFields {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Parses a configuration into keys and secrets, in the order of the keys.
///
/// # Errors
/// The content is no JSON of this format.
pub(super) fn parse(
    format: ConfigFormat,
    content: &[u8],
) -> Result<Vec<(String, ParsedSecret)>, DockerConfigError> {
    let error =
        |error: serde_json::Error| DockerConfigError { line: error.line(), column: error.column() };
    let entries: BTreeMap<String, AuthEntry> = match format {
        ConfigFormat::DockerConfigJson => {
            let config: DockerConfigFile = serde_json::from_slice(content).map_err(error)?;
            config.auths.unwrap_or_default()
        }
        ConfigFormat::DockerCfg => serde_json::from_slice(content).map_err(error)?,
    };
    Ok(entries.into_iter().map(|(key, entry)| (key, entry.secret())).collect())
}

impl AuthEntry {
    fn secret(self) -> ParsedSecret {
        match self {
            Self::Fields(fields) => fields.secret(),
            Self::Empty => Ok(None),
            Self::Invalid(_) => Err("the entry is not an object of strings".into()),
        }
    }
}

impl AuthFields {
    fn secret(self) -> ParsedSecret {
        let Self { auth, username, password, identitytoken, registrytoken } = self;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(registrytoken) {
            return Ok(Some(CredentialSecret::RegistryToken(token)));
        }
        if let Some(token) = given(identitytoken) {
            return Ok(Some(CredentialSecret::IdentityToken(token)));
        }
        let (user, password) = match given(auth) {
            Some(auth) => decode(&auth)?,
            None => (username.unwrap_or_default(), password.unwrap_or_default()),
        };
        // A user without a password counts as none, and the other way round.
        let is_complete = !user.is_empty() && !password.is_empty();
        Ok(is_complete.then_some(CredentialSecret::Password { user, password }))
    }
}

/// Decodes `base64(user:password)`. Padding is optional, as in kubelet.
fn decode(auth: &str) -> Result<(String, String), String> {
    let auth = auth.trim_end_matches('=');
    let padding = "=".repeat((4 - auth.len() % 4) % 4);
    let bytes = BASE64_STANDARD
        .decode(format!("{auth}{padding}"))
        .map_err(|_| "the value of auth is illegal base64 data".to_owned())?;
    let text = String::from_utf8(bytes).map_err(|_| "the value of auth is not UTF-8".to_owned())?;
    let (user, password) = text
        .split_once(':')
        .ok_or("the value of auth does not have the form user:password".to_owned())?;
    Ok((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(entry: &str) -> ParsedSecret {
        let text = format!(r#"{{"auths":{{"r.io":{entry}}},"credsStore":"x"}}"#);
        parse(ConfigFormat::DockerConfigJson, text.as_bytes()).unwrap().remove(0).1
    }

    fn password(user: &str, password: &str) -> ParsedSecret {
        Ok(Some(CredentialSecret::Password { user: user.into(), password: password.into() }))
    }

    #[test]
    fn all_forms_of_credentials_are_read() {
        assert_eq!(secrets(r#"{"auth":"dTpwOnE="}"#), password("u", "p:q"));
        assert_eq!(secrets(r#"{"auth":"dTpwOnE"}"#), password("u", "p:q"));
        assert_eq!(secrets(r#"{"username":"u","password":"p","email":"e"}"#), password("u", "p"));
        let token = CredentialSecret::IdentityToken("t".into());
        assert_eq!(secrets(r#"{"auth":"dTo=","identitytoken":"t"}"#), Ok(Some(token)));
        let token = CredentialSecret::RegistryToken("t".into());
        assert_eq!(secrets(r#"{"registrytoken":"t"}"#), Ok(Some(token)));
        for empty in ["{}", "null", r#"{"username":"u"}"#, r#"{"password":"p"}"#, r#"{"auth":""}"#]
        {
            assert_eq!(secrets(empty), Ok(None), "{empty}");
        }
    }

    #[test]
    fn invalid_entries_do_not_spoil_the_configuration() {
        for (entry, reason) in [
            (r#"{"auth":"!"}"#, "illegal base64"),
            (r#"{"auth":"dQ=="}"#, "user:password"),
            (r#"{"auth":1}"#, "not an object of strings"),
            ("7", "not an object of strings"),
        ] {
            let error = secrets(entry).unwrap_err();
            assert!(error.contains(reason), "{entry}: {error}");
        }
    }

    #[test]
    fn both_formats_are_read_and_errors_quote_nothing() {
        let text = br#"{"r.io":{"auth":"dTpw"}}"#;
        assert_eq!(parse(ConfigFormat::DockerCfg, text).unwrap().len(), 1);
        assert_eq!(parse(ConfigFormat::DockerConfigJson, text).unwrap().len(), 0);
        assert_eq!(parse(ConfigFormat::DockerConfigJson, br#"{"auths":null}"#).unwrap().len(), 0);
        let error = parse(ConfigFormat::DockerConfigJson, b"{\"auths\":\"secret\"}").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
