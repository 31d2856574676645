//! `imagestreams/secrets`: the pull secrets of a namespace. The name of the stream is ignored.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;

use super::api_version::API;
use crate::api::SecretList;
use crate::cluster::Secrets;
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::meta::{ObjectMeta, Status};
use crate::registry::actor::Actor;
use crate::registry::object_ref::ObjectRef;
use crate::registry::options::GetOptions;
use crate::registry::outcome::ReadResult;
use crate::registry::verbs::{Get, Scope};

/// The endpoint of the resource.
pub(super) fn endpoint(secrets: Secrets) -> Endpoint {
    let handler = Arc::new(PullSecretsHandler(secrets));
    Builder::new(API, "imagestreams", Scope::Namespaced)
        .subresource("secrets")
        .get(&handler)
        .build()
}

/// The annotation that excludes a secret if its value is `true`.
const EXCLUDED: &str = "openshift.io/image.excludeSecret";

struct PullSecretsHandler(Secrets);

impl Get<SecretList> for PullSecretsHandler {
    async fn get(
        &self,
        _: &Actor,
        at: &ObjectRef,
        options: &GetOptions,
    ) -> Result<ReadResult<SecretList>, Status> {
        let labels = &options.label_selector;
        let found = self.0.list(at.namespace(), labels).await.map_err(|why| {
            let mut status = Status::unavailable(
                "the secrets of the namespace cannot be read now: try again later",
            );
            status.hidden = Some(why.to_string());
            status
        })?;
        let metadata =
            ObjectMeta { resource_version: found.resource_version, ..ObjectMeta::default() };
        let items = found.items.into_iter().filter(is_for_pulling).collect();
        Ok(ReadResult::Object(Box::new(SecretList { metadata, items })))
    }
}

/// Returns true for a secret with credentials for registries that is not excluded.
pub(super) fn is_for_pulling(secret: &Secret) -> bool {
    let is_excluded = secret
        .metadata
        .annotations
        .iter()
        .flatten()
        .any(|(key, value)| key == EXCLUDED && value == "true");
    let types = ["kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"];
    secret.type_.as_deref().is_some_and(|r#type| types.contains(&r#type)) && !is_excluded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(r#type: &str, excluded: Option<&str>) -> Secret {
        let mut secret = Secret { type_: Some(r#type.into()), ..Secret::default() };
        secret.metadata.annotations =
            excluded.map(|value| [(EXCLUDED.to_owned(), value.to_owned())].into());
        secret
    }

    #[test]
    fn only_included_registry_credentials_are_shown() {
        for r#type in ["kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"] {
            assert!(
                is_for_pulling(&secret(r#type, None))
                    && is_for_pulling(&secret(r#type, Some("false")))
            );
            assert!(!is_for_pulling(&secret(r#type, Some("true"))));
        }
        assert!(!is_for_pulling(&secret("Opaque", None)) && !is_for_pulling(&Secret::default()));
    }
}
