//! Plan of an import: the manifests to fetch, derived from the request and the stream.

use std::collections::HashMap;

use super::failure::ImportFailure;
use super::platform::PreferredPlatform;
use crate::api::{ImageStream, ImageStreamImport, LocalObjectReference, TagImportPolicy};
use crate::domain::reference::Reference;
use crate::domain::tags;
use crate::meta::Status;

/// Manifests to fetch for an import.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportPlan {
    /// Distinct manifests of spec.images.
    pub requests: Vec<ManifestRequest>,
    /// Sources of spec.images, in the same order.
    pub images: Vec<ImageTarget>,
    /// Repository of spec.repository.
    pub repository: Option<RepositoryRequest>,
}

/// Source of one image of spec.images.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageTarget {
    /// Tag of the source. Empty for a digest.
    pub tag: String,
    /// Index of the manifest in [`ImportPlan::requests`], or the status of an image that cannot be
    /// fetched.
    pub request: Result<usize, Box<Status>>,
}

/// Manifest to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ManifestRequest {
    /// Repository as in the request, without tag and digest. Pull specs of images begin with it.
    pub repository: Reference,
    /// Tag or digest.
    pub version: ManifestVersion,
    /// Transport to the registry.
    pub transport: RegistryTransport,
    /// Treatment of manifest lists.
    pub mode: ListImportMode,
    /// Platform of the image that represents a list in the mode [`ListImportMode::Legacy`].
    pub platform: PreferredPlatform,
}

/// Repository whose tags are imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRequest {
    /// Repository as in the request.
    pub repository: Reference,
    /// Transport to the registry.
    pub transport: RegistryTransport,
    /// Treatment of manifest lists.
    pub mode: ListImportMode,
}

/// Tag or digest of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ManifestVersion {
    /// Tag.
    Tag(String),
    /// Well-formed digest.
    Digest(String),
}

/// Transport to a registry, as importPolicy.insecure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistryTransport {
    /// HTTPS with a verified certificate.
    Secure,
    /// HTTPS with any certificate, or HTTP.
    Insecure,
}

/// Treatment of manifest lists, as importPolicy.importMode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListImportMode {
    /// One image of the list is imported in its place.
    Legacy,
    /// The list and all of its images are imported.
    PreserveOriginal,
}

/// Sets the target tag of images whose source has an explicit tag, as
/// `SetDefaults_ImageImportSpec` in openshift-apiserver pkg/image/apis/image/v1/defaults.go.
pub fn default_targets(import: &mut ImageStreamImport) {
    for image in import.spec.images.iter_mut().filter(|image| image.to.is_none()) {
        let reference = image.from.name.parse::<Reference>();
        image.to = reference
            .ok()
            .filter(|reference| !reference.tag.is_empty())
            .map(|reference| LocalObjectReference { name: reference.tag });
    }
}

impl ImportPlan {
    /// Plans a valid import into `stream`, if that exists.
    pub fn new(import: &ImageStreamImport, stream: Option<&ImageStream>) -> Self {
        let mut plan = Self::default();
        let (mut groups, mut known) = (HashMap::new(), HashMap::new());
        for image in &import.spec.images {
            let target = image.to.as_ref().map(|to| to.name.as_str());
            let target = plan.target(
                &image.from.name,
                &image.import_policy,
                |tag| {
                    let spec_tag =
                        stream.and_then(|stream| tags::spec_tag(stream, target.unwrap_or(tag)));
                    PreferredPlatform::of_tag(spec_tag)
                },
                &mut groups,
                &mut known,
            );
            plan.images.push(target);
        }
        plan.repository = import.spec.repository.as_ref().and_then(|repository| {
            Some(RepositoryRequest {
                repository: repository.from.name.parse().ok()?,
                transport: RegistryTransport::of(&repository.import_policy),
                mode: ListImportMode::of(&repository.import_policy),
            })
        });
        plan
    }

    /// Adds the manifest of a source. The first image from a repository decides the spelling of the
    /// repository and the transport.
    fn target(
        &mut self,
        name: &str,
        policy: &TagImportPolicy,
        platform: impl FnOnce(&str) -> PreferredPlatform,
        groups: &mut HashMap<String, (Reference, RegistryTransport)>,
        known: &mut HashMap<ManifestRequest, usize>,
    ) -> ImageTarget {
        let Ok(reference) = name.parse::<Reference>() else {
            return unparsable(name);
        };
        let version = ManifestVersion::of(&reference);
        let key = reference.with_client_defaults().repository().exact();
        let (repository, transport) = groups
            .entry(key)
            .or_insert_with(|| (reference.repository(), RegistryTransport::of(policy)))
            .clone();
        let tag = version.tag().to_owned();
        let platform = platform(&tag);
        let mode = ListImportMode::of(policy);
        let request = ManifestRequest { repository, version, transport, mode, platform };
        let index = *known.entry(request).or_insert_with_key(|request| {
            self.requests.push(request.clone());
            self.requests.len() - 1
        });
        ImageTarget { tag, request: Ok(index) }
    }
}

/// The status of `*`, the only name that passes validation without being a reference. Early
/// versions of OpenShift accepted it for a whole repository.
fn unparsable(name: &str) -> ImageTarget {
    let text = format!("unable to parse docker reference {name}:latest: invalid reference format");
    let status = ImportFailure::Content(text).status(name);
    ImageTarget { tag: tags::DEFAULT.into(), request: Err(Box::new(status)) }
}

impl ManifestRequest {
    /// Returns a text that equal requests share: pull spec, treatment of lists, platform. The
    /// transport does not count.
    pub fn fingerprint(&self) -> String {
        let PreferredPlatform { architecture, os } = &self.platform;
        format!("{} {:?} {os}/{architecture}", self.normalized(), self.mode)
    }

    /// Returns the pull spec with the defaults of container clients, as in errors.
    pub fn normalized(&self) -> String {
        let reference = self.repository.with_client_defaults();
        match &self.version {
            ManifestVersion::Tag(tag) => Reference { tag: tag.clone(), ..reference },
            ManifestVersion::Digest(id) => Reference { id: id.clone(), ..reference },
        }
        .exact()
    }
}

impl RepositoryRequest {
    /// Returns the request for the manifest of a tag.
    pub fn tag(&self, tag: &str) -> ManifestRequest {
        ManifestRequest {
            repository: self.repository.clone(),
            version: ManifestVersion::Tag(tag.into()),
            transport: self.transport,
            mode: self.mode,
            platform: PreferredPlatform::default(),
        }
    }
}

impl ManifestVersion {
    /// Returns the digest of a reference, or else its tag, or else the tag `latest`.
    fn of(reference: &Reference) -> Self {
        match reference.id.as_str() {
            "" => Self::Tag(tags::or_default(&reference.tag).into()),
            id => Self::Digest(id.into()),
        }
    }

    /// Returns the tag. Empty for a digest.
    pub fn tag(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Digest(_) => "",
        }
    }
}

impl RegistryTransport {
    fn of(policy: &TagImportPolicy) -> Self {
        if policy.insecure { Self::Insecure } else { Self::Secure }
    }
}

impl ListImportMode {
    fn of(policy: &TagImportPolicy) -> Self {
        match policy.import_mode.as_str() {
            "PreserveOriginal" => Self::PreserveOriginal,
            _ => Self::Legacy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ImageImportSpec, RepositoryImportSpec, TagReference};

    fn import(images: &[(&str, bool, &str)]) -> ImageStreamImport {
        let mut import = ImageStreamImport::default();
        for (from, insecure, mode) in images {
            let mut image = ImageImportSpec::default();
            image.from.name = (*from).into();
            image.import_policy.insecure = *insecure;
            image.import_policy.import_mode = (*mode).into();
            import.spec.images.push(image);
        }
        default_targets(&mut import);
        import
    }

    fn id() -> String {
        format!("sha256:{}", "a".repeat(64))
    }

    #[test]
    fn only_explicit_tags_become_targets() {
        let digest = format!("r.io/a@{}", id());
        let both = format!("r.io/a:t@{}", id());
        let sent = [
            ("r.io/a:t", false, ""),
            ("r.io/a", false, ""),
            (&digest, false, ""),
            (&both, false, ""),
            ("A B", false, ""),
        ];
        let import = import(&sent);
        let targets: Vec<_> =
            import.spec.images.iter().map(|image| image.to.as_ref().map(|to| &*to.name)).collect();
        assert_eq!(targets, [Some("t"), None, None, Some("t"), None]);
    }

    #[test]
    fn digest_wins_over_tag_and_latest_is_the_default() {
        let both = format!("r.io/a:t@{}", id());
        let plan = ImportPlan::new(&import(&[("busybox", false, ""), (&both, false, "")]), None);
        let tags: Vec<_> = plan.images.iter().map(|image| image.tag.as_str()).collect();
        assert_eq!(tags, ["latest", ""]);
        let names: Vec<_> = plan.requests.iter().map(ManifestRequest::normalized).collect();
        let digest = format!("r.io/a@{}", id());
        assert_eq!(names, ["docker.io/library/busybox:latest", &digest]);
    }

    #[test]
    fn equal_manifests_are_fetched_once() {
        let plan = ImportPlan::new(
            &import(&[
                ("r.io/a:t", false, "Legacy"),
                ("r.io/a:t", false, "Legacy"),
                ("r.io/a:t", false, "PreserveOriginal"),
                ("r.io/b:t", false, "Legacy"),
            ]),
            None,
        );
        let indexes: Vec<_> =
            plan.images.iter().map(|image| *image.request.as_ref().unwrap()).collect();
        assert_eq!((indexes, plan.requests.len()), (vec![0, 0, 1, 2], 3));
    }

    #[test]
    fn first_image_decides_spelling_and_transport() {
        let sent = [("busybox:1", true, ""), ("docker.io/library/busybox:2", false, "")];
        let plan = ImportPlan::new(&import(&sent), None);
        for request in &plan.requests {
            assert_eq!(request.repository.exact(), "busybox");
            assert_eq!(request.transport, RegistryTransport::Insecure);
        }
    }

    #[test]
    fn annotations_of_the_target_choose_the_platform() {
        let mut stream = ImageStream::default();
        let key = "importer.image.openshift.io/prefer-arch".to_owned();
        let annotations = Some([(key, "arm64".to_owned())].into());
        let tag = TagReference { name: "t".into(), annotations, ..TagReference::default() };
        stream.spec.tags = vec![tag];
        let sent = import(&[("r.io/a:t", false, ""), ("r.io/a:u", false, "")]);
        let plan = ImportPlan::new(&sent, Some(&stream));
        assert_eq!(plan.requests[0].platform.architecture, "arm64");
        assert_eq!(plan.requests[1].platform, PreferredPlatform::default());
    }

    #[test]
    fn tags_of_a_repository_have_its_policy() {
        let mut sent = import(&[]);
        let mut repository = RepositoryImportSpec::default();
        repository.from.name = "r.io/a".into();
        repository.import_policy.import_mode = "PreserveOriginal".into();
        sent.spec.repository = Some(repository);
        let request = ImportPlan::new(&sent, None).repository.unwrap().tag("t");
        assert_eq!(request.normalized(), "r.io/a:t");
        assert_eq!(request.mode, ListImportMode::PreserveOriginal);
    }

    #[test]
    fn star_fails_alone() {
        let plan = ImportPlan::new(&import(&[("*", false, ""), ("r.io/a", false, "")]), None);
        let status = plan.images[0].request.as_ref().unwrap_err();
        let text = "Internal error occurred: unable to parse docker reference *:latest: invalid reference format";
        assert_eq!(status.message, text);
        assert_eq!(plan.images[1].request, Ok(0));
    }
}
