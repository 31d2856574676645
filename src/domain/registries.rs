//! Registries from which images of streams are pulled and imported, as configured.

use super::allowed_registries::AllowedRegistries;
use super::reference::Reference;
use crate::api::{ImageStream, ImageStreamMapping};

/// Addresses of the integrated registry, and registries for imports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    /// Host and port inside the cluster.
    pub internal: Option<String>,
    /// Host and port outside the cluster.
    pub external: Option<String>,
    /// Registries from which images may be imported.
    pub allowed: AllowedRegistries,
}

impl Registries {
    /// Sets the repositories in the status of `stream`, as `Strategy.Decorate` in
    /// openshift-apiserver pkg/image/apiserver/registry/imagestream/strategy.go.
    ///
    /// Without an internal registry the repository is that of the spec.
    pub fn decorate(&self, stream: &mut ImageStream) {
        let repository = |host: &String| {
            format!("{host}/{}/{}", stream.metadata.namespace, stream.metadata.name)
        };
        let internal = self.internal.as_ref().map(repository);
        let external = self.external.as_ref().map(repository);
        stream.status.docker_image_repository =
            internal.unwrap_or_else(|| stream.spec.docker_image_repository.clone());
        stream.status.public_docker_image_repository = external.unwrap_or_default();
    }

    /// Returns the default pull spec of a pushed image, which is in the internal registry, if there
    /// is one.
    pub fn default_reference(&self, mapping: &ImageStreamMapping) -> Option<String> {
        let reference = Reference {
            registry: self.internal.clone()?,
            namespace: mapping.metadata.namespace.clone(),
            name: mapping.metadata.name.clone(),
            tag: String::new(),
            id: mapping.image.metadata.name.clone(),
        };
        Some(reference.exact())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registries(internal: Option<&str>, external: Option<&str>) -> Registries {
        Registries {
            internal: internal.map(Into::into),
            external: external.map(Into::into),
            ..Registries::default()
        }
    }

    fn decorated(registries: &Registries) -> [String; 2] {
        let mut stream = ImageStream::default();
        stream.metadata.namespace = "ns".into();
        stream.metadata.name = "s".into();
        stream.spec.docker_image_repository = "x/y".into();
        stream.status.public_docker_image_repository = "old".into();
        registries.decorate(&mut stream);
        [stream.status.docker_image_repository, stream.status.public_docker_image_repository]
    }

    #[test]
    fn repositories_are_in_the_configured_registries() {
        assert_eq!(
            decorated(&registries(Some("in:5000"), Some("out"))),
            ["in:5000/ns/s", "out/ns/s"]
        );
    }

    #[test]
    fn repository_defaults_to_the_spec() {
        assert_eq!(decorated(&registries(None, None)), ["x/y", ""]);
    }

    #[test]
    fn pushed_image_defaults_to_the_internal_registry() {
        let mut mapping = ImageStreamMapping::default();
        mapping.metadata.namespace = "ns".into();
        mapping.metadata.name = "s".into();
        let reference =
            |mapping: &ImageStreamMapping, host| registries(host, None).default_reference(mapping);
        mapping.image.metadata.name = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            reference(&mapping, Some("in")),
            Some(format!("in/ns/s@sha256:{}", "a".repeat(64)))
        );
        mapping.image.metadata.name = "abc".into();
        assert_eq!(reference(&mapping, Some("in")).as_deref(), Some("in/ns/s:abc"));
        assert_eq!(reference(&mapping, None), None);
    }
}
