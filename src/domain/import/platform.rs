//! Choice of one image of a manifest list.

use crate::api::TagReference;
use crate::domain::manifest::{ManifestDescriptor, ManifestList};

/// Annotation of a spec tag with the preferred architecture.
const PREFER_ARCHITECTURE: &str = "importer.image.openshift.io/prefer-arch";
/// Annotation of a spec tag with the preferred operating system.
const PREFER_OS: &str = "importer.image.openshift.io/prefer-os";

/// Platform of the image that represents a manifest list in the mode `Legacy`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PreferredPlatform {
    /// Processor architecture by its name in Go, such as `amd64`.
    pub architecture: String,
    /// Operating system by its name in Go, such as `linux`.
    pub os: String,
}

impl Default for PreferredPlatform {
    /// The platform of the server.
    fn default() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { architecture: architecture.into(), os: std::env::consts::OS.into() }
    }
}

impl PreferredPlatform {
    /// Returns the platform in the annotations of a spec tag. Missing parts are those of the
    /// server.
    pub fn of_tag(tag: Option<&TagReference>) -> Self {
        let annotations = tag.and_then(|tag| tag.annotations.as_ref());
        let value = |key: &str| annotations?.get(key).filter(|value| !value.is_empty()).cloned();
        let server = Self::default();
        Self {
            architecture: value(PREFER_ARCHITECTURE).unwrap_or(server.architecture),
            os: value(PREFER_OS).unwrap_or(server.os),
        }
    }
}

/// Returns the image of a list for a platform: the first with this platform, else the first for
/// linux/amd64, else the first of the list.
///
/// The variant of the architecture does not count. `None` for an empty list.
pub fn choose<'a>(
    list: &'a ManifestList,
    preferred: &PreferredPlatform,
) -> Option<&'a ManifestDescriptor> {
    let find = |architecture: &str, os: &str| {
        list.manifests
            .iter()
            .find(|entry| entry.platform.architecture == architecture && entry.platform.os == os)
    };
    find(&preferred.architecture, &preferred.os)
        .or_else(|| find("amd64", "linux"))
        .or_else(|| list.manifests.first())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(platforms: &[(&str, &str)]) -> ManifestList {
        let entry = |(at, (architecture, os)): (usize, &(&str, &str))| {
            let mut entry = ManifestDescriptor { digest: at.to_string(), ..Default::default() };
            entry.platform.architecture = (*architecture).into();
            entry.platform.os = (*os).into();
            entry
        };
        ManifestList { manifests: platforms.iter().enumerate().map(entry).collect() }
    }

    fn chosen(platforms: &[(&str, &str)], architecture: &str, os: &str) -> Option<String> {
        let preferred = PreferredPlatform { architecture: architecture.into(), os: os.into() };
        choose(&list(platforms), &preferred).map(|entry| entry.digest.clone())
    }

    #[test]
    fn preferred_platform_wins_then_linux_amd64_then_first() {
        let all = [("s390x", "linux"), ("amd64", "linux"), ("arm64", "linux"), ("arm64", "linux")];
        assert_eq!(chosen(&all, "arm64", "linux").as_deref(), Some("2"));
        assert_eq!(chosen(&all, "arm64", "windows").as_deref(), Some("1"));
        assert_eq!(chosen(&all[..1], "arm64", "linux").as_deref(), Some("0"));
        assert_eq!(chosen(&[], "arm64", "linux"), None);
    }

    #[test]
    fn annotations_of_the_tag_set_the_platform() {
        let mut tag = TagReference::default();
        assert_eq!(PreferredPlatform::of_tag(None), PreferredPlatform::default());
        assert_eq!(PreferredPlatform::of_tag(Some(&tag)), PreferredPlatform::default());
        let set = [(PREFER_ARCHITECTURE, "arm64"), (PREFER_OS, "windows")];
        tag.annotations = Some(set.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        let platform = PreferredPlatform::of_tag(Some(&tag));
        assert_eq!((platform.architecture.as_str(), platform.os.as_str()), ("arm64", "windows"));
    }
}
