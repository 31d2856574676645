//! Credentials of a namespace for registries.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Secret;

use crate::cluster::{Secrets, SecretsUnavailable};
use crate::oci::{ConfigFormat, CredentialSet, Keyring};
use crate::resources::imagestreams_secrets::is_for_pulling;

/// Returns the credentials in the pull secrets of a namespace. Those that the service account
/// `default` names come first.
///
/// # Errors
/// The control plane cannot be asked.
pub(super) async fn keyring(
    secrets: &Secrets,
    namespace: &str,
) -> Result<Keyring, SecretsUnavailable> {
    if secrets.is_none() {
        return Ok(Keyring::of_namespace(namespace));
    }
    let found = secrets.list(namespace, "").await?.items;
    let mut found: Vec<Secret> = found.into_iter().filter(is_for_pulling).collect();
    if found.is_empty() {
        return Ok(Keyring::of_namespace(namespace));
    }
    let preferred: HashSet<String> =
        secrets.default_pull_secrets(namespace).await?.into_iter().collect();
    found.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let (first, others): (Vec<Secret>, Vec<Secret>) = found
        .into_iter()
        .partition(|secret| secret.metadata.name.as_ref().is_some_and(|it| preferred.contains(it)));
    let mut keyring = Keyring::new(set(namespace, &first));
    keyring.push(set(namespace, &others));
    Ok(keyring)
}

/// Returns the credentials of secrets. A secret that cannot be read is left out.
fn set(namespace: &str, secrets: &[Secret]) -> CredentialSet {
    let mut set = CredentialSet::of_namespace(namespace);
    for secret in secrets {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let Some((format, content)) = content(secret) else { continue };
        if let Err(error) = set.add(&format!("secret {name:?}"), format, content) {
            tracing::info!(namespace, secret = name, %error, "ignored an unreadable pull secret");
        }
    }
    set
}

fn content(secret: &Secret) -> Option<(ConfigFormat, &[u8])> {
    let (format, key) = match secret.type_.as_deref()? {
        "kubernetes.io/dockerconfigjson" => (ConfigFormat::DockerConfigJson, ".dockerconfigjson"),
        "kubernetes.io/dockercfg" => (ConfigFormat::DockerCfg, ".dockercfg"),
        _ => return None,
    };
    Some((format, &secret.data.as_ref()?.get(key)?.0))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;
    use crate::oci::Repository;

    fn secret(name: &str, r#type: &str, key: &str, content: &str) -> Secret {
        let mut secret = Secret { type_: Some(r#type.into()), ..Secret::default() };
        secret.metadata.name = Some(name.into());
        let data = [(key.to_owned(), ByteString(content.into()))];
        secret.data = Some(data.into());
        secret
    }

    #[test]
    fn both_formats_are_read_and_bad_secrets_left_out() {
        let auth = |host: &str| format!(r#"{{"{host}":{{"username":"u","password":"p"}}}}"#);
        let json = format!(r#"{{"auths":{}}}"#, auth("a.io"));
        let secrets = [
            secret("a", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", &json),
            secret("b", "kubernetes.io/dockercfg", ".dockercfg", &auth("b.io")),
            secret("bad", "kubernetes.io/dockercfg", ".dockercfg", "{"),
            secret("other", "Opaque", ".dockercfg", &auth("c.io")),
        ];
        let keyring = Keyring::new(set("ns", &secrets));
        let has = |name: &str| keyring.find(&Repository::parse(name).unwrap()).unwrap().is_some();
        assert_eq!([has("a.io/x"), has("b.io/x"), has("c.io/x")], [true, true, false]);
    }

    #[tokio::test]
    async fn namespace_has_no_credentials_without_a_cluster() {
        let keyring = keyring(&Secrets::none(), "ns").await.unwrap();
        let repository = Repository::parse("a.io/x").unwrap();
        assert!(keyring.find(&repository).unwrap().is_none());
    }
}
