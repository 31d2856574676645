//! `Repository` and `ManifestReference`: the names of images at a registry.

use std::{fmt, str::FromStr};

use crate::domain::digest::{Digest, ParseDigestError};
use crate::domain::reference::Reference;

/// Registry of references without one.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Names of Docker Hub. Only the first serves the API.
const DOCKER_HUB: [&str; 3] = ["registry-1.docker.io", DEFAULT_REGISTRY, "index.docker.io"];
/// Namespace of Docker Hub for names of one component.
const DEFAULT_NAMESPACE: &str = "library";
/// Maximum length of a tag in characters.
const MAX_TAG_LENGTH: usize = 128;

/// A repository of a registry, such as `registry.example.com:5000/ns/app`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: String,
    path: String,
}

/// A tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ManifestReference {
    /// A tag.
    Tag(Tag),
    /// A digest.
    Digest(Digest),
}

/// A well-formed tag: a letter, digit or underscore, then up to 127 of these, dots and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// Error of a name that does not lead to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// A reference without a name, or with one that is no path of a URL.
    #[error("invalid repository name")]
    Repository,
    /// A tag outside of the grammar.
    #[error("invalid tag format")]
    Tag,
    /// A malformed digest.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
}

impl Repository {
    /// Returns the repository of a reference, with the defaults of Docker Hub.
    ///
    /// As `DockerClientDefaults` in library-go pkg/image/reference/reference.go.
    ///
    /// # Errors
    /// A reference without a name.
    pub fn new(reference: &Reference) -> Result<Self, InvalidName> {
        let registry = match reference.registry.as_str() {
            "" => DEFAULT_REGISTRY,
            registry => registry,
        };
        let namespace = match reference.namespace.as_str() {
            "" if DOCKER_HUB.contains(&registry) => DEFAULT_NAMESPACE,
            namespace => namespace,
        };
        match namespace {
            "" => Self::parse(&format!("{registry}/{}", reference.name)),
            namespace => Self::parse(&format!("{registry}/{namespace}/{}", reference.name)),
        }
    }

    /// Parses a full name. Its first component is the registry.
    ///
    /// # Errors
    /// A name without a path, and one that would change its meaning in a URL.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        let (registry, path) = name.split_once('/').ok_or(InvalidName::Repository)?;
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_component =
            |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(is_path);
        if registry.is_empty()
            || !registry.bytes().all(is_host)
            || !path.split('/').all(is_component)
        {
            return Err(InvalidName::Repository);
        }
        Ok(Self { registry: registry.into(), path: path.into() })
    }

    /// Returns host and port of the registry, as in the reference.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the path in the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns host and port of the server of the registry.
    pub(super) fn server(&self) -> &str {
        if self.is_on_docker_hub() { DOCKER_HUB[0] } else { &self.registry }
    }

    /// Returns true for repositories of Docker Hub.
    pub(super) fn is_on_docker_hub(&self) -> bool {
        DOCKER_HUB.contains(&self.registry.as_str())
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl ManifestReference {
    /// Returns the image of a reference. A digest is preferred to a tag; the default tag is
    /// `latest`.
    ///
    /// # Errors
    /// A malformed tag or digest.
    pub fn new(reference: &Reference) -> Result<Self, InvalidName> {
        match (reference.id.as_str(), reference.tag.as_str()) {
            ("", "") => "latest".parse().map(Self::Tag),
            ("", tag) => tag.parse().map(Self::Tag),
            (id, _) => Ok(Self::Digest(id.parse()?)),
        }
    }

    /// Returns the tag or digest as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(Tag(tag)) => tag,
            Self::Digest(digest) => digest.as_str(),
        }
    }

    /// Returns the digest; none for a tag.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Tag(_) => None,
            Self::Digest(digest) => Some(digest),
        }
    }
}

impl FromStr for Tag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_tag = (1..=MAX_TAG_LENGTH).contains(&text.len())
            && !text.starts_with(['.', '-'])
            && text.bytes().all(inner);
        if is_tag { Ok(Self(text.into())) } else { Err(InvalidName::Tag) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(text: &str) -> Repository {
        Repository::new(&text.parse().unwrap()).unwrap()
    }

    #[test]
    fn docker_hub_is_the_default() {
        for (text, name, server) in [
            ("busybox", "docker.io/library/busybox", "registry-1.docker.io"),
            ("a/b", "docker.io/a/b", "registry-1.docker.io"),
            ("index.docker.io/b", "index.docker.io/library/b", "registry-1.docker.io"),
            ("quay.io/a/b/c", "quay.io/a/b/c", "quay.io"),
            ("r.io:5000/b", "r.io:5000/b", "r.io:5000"),
        ] {
            let repository = repository(text);
            assert_eq!((repository.to_string().as_str(), repository.server()), (name, server));
        }
    }

    #[test]
    fn names_that_a_url_would_change_are_refused() {
        for name in
            ["r.io", "r.io/", "/a", "r.io/a/../b", "r.io/./b", "r.io/a?b", "r@io/a", "r.io/a%2e"]
        {
            assert_eq!(Repository::parse(name), Err(InvalidName::Repository), "{name}");
        }
        for tag in ["", "..", "b c", "a/b", "-a", &"t".repeat(129)] {
            assert_eq!(tag.parse::<Tag>(), Err(InvalidName::Tag), "{tag}");
        }
    }

    #[test]
    fn digest_is_preferred_and_latest_the_default() {
        let id = format!("sha256:{}", "a".repeat(64));
        let reference = |text: &str| ManifestReference::new(&text.parse().unwrap()).unwrap();
        assert_eq!(reference(&format!("r.io/a:t@{id}")).as_str(), id);
        assert_eq!(reference("r.io/a:t").as_str(), "t");
        assert_eq!(reference("r.io/a").as_str(), "latest");
    }
}
