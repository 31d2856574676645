//! Image references such as `registry.example.com:5000/ns/app:tag@sha256:…`, parsed as by
//! `reference.Parse` in library-go pkg/image/reference/reference.go.

use std::{fmt::Write as _, str::FromStr};

use super::digest::{self, Digest, ParseDigestError};

const MAX_NAME_LENGTH: usize = 255;
const MAX_TAG_LENGTH: usize = 128;

/// Registry of references without a host.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// Returns true for the host names of Docker Hub, as `IsRegistryDockerHub` in library-go.
pub fn is_docker_hub(registry: &str) -> bool {
    matches!(registry, DEFAULT_REGISTRY | "index.docker.io" | "registry-1.docker.io")
}

/// Parts of a reference. Missing parts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Host and port. A text without a slash that looks like a host is entirely the registry,
    /// including tag and digest.
    pub registry: String,
    /// First component after the registry, if another one follows.
    pub namespace: String,
    /// Rest of the name. May contain slashes.
    pub name: String,
    /// Tag.
    pub tag: String,
    /// Digest.
    pub id: String,
}

/// Error of parsing a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseReferenceError {
    /// The text does not match the grammar of references.
    #[error("invalid reference format")]
    Format,
    /// The repository contains uppercase letters.
    #[error("repository name must be lowercase")]
    NotLowercase,
    /// The text is empty.
    #[error("repository name must have at least one component")]
    Empty,
    /// The name is too long.
    #[error("repository name must not be more than {MAX_NAME_LENGTH} characters")]
    TooLong,
    /// The digest is invalid.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
}

/// Removes tag and digest from a reference. Any other text is returned unchanged.
pub fn without_tag_and_digest(text: &str) -> String {
    match text.parse::<Reference>() {
        Ok(reference) if !reference.tag.is_empty() || !reference.id.is_empty() => {
            reference.repository().exact()
        }
        _ => text.into(),
    }
}

/// Returns the pull spec of an image in a repository, or `None` if the repository is not a
/// reference.
pub fn of_image(repository: &str, image: &str) -> Option<String> {
    let repository: Reference = repository.parse().ok()?;
    Some(Reference { tag: String::new(), id: image.into(), ..repository }.exact())
}

impl Reference {
    /// Returns the reference as a pull spec of one image, as `DockerImageReference.Exact` in
    /// library-go. A tag is omitted if there is a digest.
    ///
    /// Empty for a reference that has only a registry.
    pub fn exact(&self) -> String {
        let mut text = String::new();
        if self.name.is_empty() {
            return text;
        }
        for part in [&self.registry, &self.namespace].into_iter().filter(|part| !part.is_empty()) {
            text.push_str(part);
            text.push('/');
        }
        text.push_str(&self.name);
        let (mark, end) = match (self.id.as_str(), self.tag.as_str()) {
            ("", "") => return text,
            ("", tag) => (':', tag),
            (id, _) if digest::is_digest(id) => ('@', id),
            (id, _) => (':', id),
        };
        write!(text, "{mark}{end}").expect("writing to a string cannot fail");
        text
    }

    /// Returns the reference with the defaults of container clients, as `DockerClientDefaults` in
    /// library-go: the registry `docker.io`, its namespace `library`, and the tag `latest`.
    pub fn with_client_defaults(&self) -> Self {
        let mut reference = self.clone();
        if reference.registry.is_empty() {
            reference.registry = DEFAULT_REGISTRY.into();
        }
        if reference.namespace.is_empty() && is_docker_hub(&reference.registry) {
            reference.namespace = "library".into();
        }
        if reference.tag.is_empty() {
            reference.tag = "latest".into();
        }
        reference
    }

    /// Returns the reference without the parts that the Docker daemon adds by itself, as
    /// `DaemonMinimal` in library-go: one name of Docker Hub, no namespace `library` there, and no
    /// tag `latest`.
    pub fn daemon_minimal(&self) -> Self {
        let mut reference = self.clone();
        if is_docker_hub(&reference.registry) {
            reference.registry = DEFAULT_REGISTRY.into();
            if reference.namespace == "library" {
                reference.namespace.clear();
            }
        }
        if reference.tag == "latest" {
            reference.tag.clear();
        }
        reference
    }

    /// Returns the reference without tag and digest.
    pub fn repository(&self) -> Self {
        Self { tag: String::new(), id: String::new(), ..self.clone() }
    }

    fn of(whole: &str, parts: SplitReference<'_>) -> Self {
        let first = parts.name.split_once('/');
        if first.is_none() && (parts.name.contains('.') || parts.name.starts_with("localhost")) {
            return Self { registry: whole.into(), ..Self::default() };
        }
        let (registry, rest) = match first {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => ("", parts.name),
        };
        let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
        Self {
            registry: registry.into(),
            namespace: namespace.into(),
            name: name.into(),
            tag: parts.tag.unwrap_or_default().into(),
            id: parts.digest.unwrap_or_default().into(),
        }
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        let Some(parts) = SplitReference::find(text) else {
            return Err(match text {
                "" => ParseReferenceError::Empty,
                _ if SplitReference::find(&text.to_lowercase()).is_some() => {
                    ParseReferenceError::NotLowercase
                }
                _ => ParseReferenceError::Format,
            });
        };
        if parts.name.len() > MAX_NAME_LENGTH {
            return Err(ParseReferenceError::TooLong);
        }
        if let Some(digest) = parts.digest {
            digest.parse::<Digest>()?;
        }
        Ok(Self::of(text, parts))
    }
}

/// First stage of parsing. It is unambiguous: only a digest follows `@`, and no slash follows a
/// tag.
struct SplitReference<'a> {
    name: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> SplitReference<'a> {
    fn find(text: &'a str) -> Option<Self> {
        let (named, digest) = split_optional(text, text.find('@'));
        let last = named.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = split_optional(named, named[last..].find(':').map(|colon| last + colon));
        let good = is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(looks_like_digest);
        good.then_some(Self { name, tag, digest })
    }
}

fn split_optional(text: &str, at: Option<usize>) -> (&str, Option<&str>) {
    match at {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// Matches path components, the first of which may be a host with a port if another one follows.
fn is_name(name: &str) -> bool {
    let (first, rest) = split_optional(name, name.find('/'));
    let first_is_good = is_component(first) || (rest.is_some() && is_host(first));
    first_is_good && rest.is_none_or(|rest| rest.split('/').all(is_component))
}

/// Matches runs of lowercase letters and digits, joined by a dot, one or two underscores, or
/// dashes.
fn is_component(text: &str) -> bool {
    let alphanumeric = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let joint =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && text.split(alphanumeric).all(joint)
}

fn is_host(text: &str) -> bool {
    let (host, port) = split_optional(text, text.find(':'));
    let label = |text: &str| {
        let inner = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !text.is_empty() && inner && !text.starts_with('-') && !text.ends_with('-')
    };
    host.split('.').all(label)
        && port
            .is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_tag(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=MAX_TAG_LENGTH).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(inner)
}

/// Matches the grammar of digests in references. [`Digest`] is stricter.
fn looks_like_digest(text: &str) -> bool {
    let word = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.split(['-', '_', '+', '.']).all(word)
            && hex.len() >= 32
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> [String; 5] {
        let Reference { registry, namespace, name, tag, id } = text.parse().unwrap();
        [registry, namespace, name, tag, id]
    }

    fn error(text: &str) -> String {
        text.parse::<Reference>().unwrap_err().to_string()
    }

    #[test]
    fn reference_is_split_into_parts() {
        let id = format!("sha256:{}", "a".repeat(64));
        assert_eq!(parts("app"), ["", "", "app", "", ""]);
        assert_eq!(parts("ns/app:1.2"), ["", "ns", "app", "1.2", ""]);
        assert_eq!(parts("r.io:5000/a/b/c"), ["r.io:5000", "a", "b/c", "", ""]);
        assert_eq!(parts("localhost/app"), ["localhost", "", "app", "", ""]);
        assert_eq!(parts(&format!("r.io/a:t@{id}")), ["r.io", "", "a", "t", &id]);
        assert_eq!(parts("A/b"), ["", "A", "b", "", ""]);
    }

    #[test]
    fn host_without_path_is_the_registry() {
        assert_eq!(parts("foo.bar:latest"), ["foo.bar:latest", "", "", "", ""]);
        assert_eq!(parts("localhost:5000"), ["localhost:5000", "", "", "", ""]);
    }

    #[test]
    fn every_error_has_its_text() {
        let format = "invalid reference format";
        for text in [
            "a b",
            "http://x/y",
            "x@sha256:123",
            "x:",
            "/x",
            "x/",
            "[::1]/x",
            "a//b",
            "a:b:c",
            "a._b",
        ] {
            assert_eq!(error(text), format, "{text}");
        }
        assert_eq!(error(&format!("x:{}", "t".repeat(129))), format);
        assert_eq!(error("x/UPPER"), "repository name must be lowercase");
        assert_eq!(error(""), "repository name must have at least one component");
        assert_eq!(error(&"n".repeat(256)), "repository name must not be more than 255 characters");
        assert_eq!(
            error(&format!("x@sha256:{}", "a".repeat(32))),
            "invalid checksum digest length"
        );
        assert_eq!(error(&format!("x@md5:{}", "a".repeat(32))), "unsupported digest algorithm");
        assert_eq!(error(&format!("x@a+b:{}", "a".repeat(32))), "unsupported digest algorithm");
    }

    #[test]
    fn client_defaults_complete_a_reference() {
        let complete =
            |text: &str| text.parse::<Reference>().unwrap().with_client_defaults().exact();
        assert_eq!(complete("app"), "docker.io/library/app:latest");
        assert_eq!(complete("ns/app:t"), "docker.io/ns/app:t");
        assert_eq!(complete("index.docker.io/app"), "index.docker.io/library/app:latest");
        assert_eq!(complete("r.io/app"), "r.io/app:latest");
        let id = format!("sha256:{}", "a".repeat(64));
        assert_eq!(complete(&format!("app@{id}")), format!("docker.io/library/app@{id}"));
    }

    #[test]
    fn exact_form_prefers_the_digest() {
        let id = format!("sha256:{}", "a".repeat(64));
        let exact = |text: &str| text.parse::<Reference>().unwrap().exact();
        assert_eq!(exact(&format!("r.io/a/b:t@{id}")), format!("r.io/a/b@{id}"));
        assert_eq!(exact("a/b:t"), "a/b:t");
        let odd = Reference { name: "a".into(), id: "short".into(), ..Reference::default() };
        assert_eq!(odd.exact(), "a:short");
    }

    #[test]
    fn tag_and_digest_are_removed() {
        assert_eq!(without_tag_and_digest("r.io/a/b:t"), "r.io/a/b");
        assert_eq!(without_tag_and_digest("r.io/a/b"), "r.io/a/b");
        assert_eq!(without_tag_and_digest("A B"), "A B");
        assert_eq!(without_tag_and_digest("foo.bar:t"), "foo.bar:t");
    }

    proptest! {
        #[test]
        fn any_text_gives_a_reference_or_an_error(text in "\\PC*|[aA./:@_\\-0-9]{0,20}(@sha256:[a-f0-9]{64})?") {
            if let Ok(reference) = text.parse::<Reference>() {
                let exact = reference.exact();
                if reference.name.is_empty() {
                    prop_assert_eq!(&reference.registry, &text);
                } else {
                    prop_assert_eq!(exact.parse::<Reference>().unwrap().exact(), exact);
                }
            }
        }
    }
}
