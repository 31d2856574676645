//! Registries from which images may be imported, as openshift-apiserver
//! pkg/image/apis/image/validation/whitelist/whitelister.go.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use super::reference::{DEFAULT_REGISTRY, Reference, is_docker_hub};
use super::tags;
use crate::api::{ImageStream, ImageStreamImport, ObjectReference, TagImportPolicy, TagReference};
use crate::meta::{ObjectMeta, field};

/// Annotation that is `"true"` for streams and tags whose registries may use HTTP.
const INSECURE: &str = "openshift.io/image.insecureRepository";
/// Maximum number of entries that an error lists.
const MAX_LISTED: usize = 5;

/// Registries from which images may be imported. All by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedRegistries(Vec<AllowedRegistry>);

/// Entry of the list: patterns for host and port, in which `*` stands for any text and `?` for any
/// character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedRegistry {
    host: String,
    port: String,
}

/// Error of parsing an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must have the form HOST[:PORT], in which * and ? may stand for other characters")]
pub struct ParseAllowedRegistryError;

/// Port of references without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DefaultPort {
    /// 443.
    Https,
    /// 80 or 443.
    Any,
}

impl AllowedRegistries {
    /// Returns the list of these entries, and the registry `internal`. Without entries, all
    /// registries are allowed.
    pub fn new(mut entries: Vec<AllowedRegistry>, internal: Option<&str>) -> Self {
        let internal = internal.and_then(|internal| internal.parse().ok());
        if let Some(internal) = internal.filter(|_| !entries.is_empty()) {
            entries.insert(0, internal);
        }
        Self(entries)
    }

    /// Returns true if all registries are allowed.
    pub fn is_unrestricted(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns errors for the references of `new` to other registries. References to repositories
    /// that `old` refers to are not checked.
    pub fn stream_errors(&self, old: Option<&ImageStream>, new: &ImageStream) -> field::Errors {
        let mut errors = field::Errors::default();
        if self.is_unrestricted() {
            return errors;
        }
        let check =
            ReferenceCheck { allowed: self, known: old.map(repositories).unwrap_or_default() };
        let is_insecure = is_insecure(&new.metadata);
        let repository = &new.spec.docker_image_repository;
        if !repository.is_empty() {
            let port = DefaultPort::of(is_insecure);
            errors.extend(check.error("spec.dockerImageRepository", repository, port));
        }
        for tag in &new.spec.tags {
            let path = format_args!("spec.tags[{}]", tag.name);
            errors.extend(check.tag_error(tag, is_insecure).map(|error| error.under(path)));
        }
        errors.append(check.history_errors(new, is_insecure));
        errors
    }

    /// Returns errors for the references to other registries in the status of `new` that are not in
    /// `old`.
    pub fn status_errors(&self, old: &ImageStream, new: &ImageStream) -> field::Errors {
        if self.is_unrestricted() {
            return field::Errors::default();
        }
        let check = ReferenceCheck { allowed: self, known: repositories(old) };
        check.history_errors(new, is_insecure(&new.metadata))
    }

    /// Returns an error for the source of a tag that is written by itself, with the metadata of the
    /// view. Repositories that `old` refers to are not checked.
    pub fn tag_error(
        &self,
        old: Option<&ImageStream>,
        metadata: &ObjectMeta,
        tag: &TagReference,
    ) -> Option<field::Error> {
        if self.is_unrestricted() {
            return None;
        }
        let check =
            ReferenceCheck { allowed: self, known: old.map(repositories).unwrap_or_default() };
        check.tag_error(tag, is_insecure(metadata))
    }

    /// Returns errors for the sources of an import from other registries.
    pub fn import_errors(&self, import: &ImageStreamImport) -> field::Errors {
        let mut errors = field::Errors::default();
        if let Some(repository) = &import.spec.repository {
            let (from, policy) = (&repository.from, &repository.import_policy);
            errors.extend(self.import_error("spec.repository.from.name", from, policy));
        }
        for (at, image) in import.spec.images.iter().enumerate() {
            let path = format_args!("spec.images[{at}].from.name");
            errors.extend(self.import_error(path, &image.from, &image.import_policy));
        }
        errors
    }

    fn import_error(
        &self,
        path: impl fmt::Display,
        from: &ObjectReference,
        policy: &TagImportPolicy,
    ) -> Option<field::Error> {
        let refusal = self.import_refusal(from, policy)?;
        Some(field::Error::forbidden(path, refusal))
    }

    /// Returns the reason why an import from a source is refused; none for one that is not.
    pub fn import_refusal(
        &self,
        from: &ObjectReference,
        policy: &TagImportPolicy,
    ) -> Option<String> {
        if self.is_unrestricted() {
            return None;
        }
        let reference = from.name.parse::<Reference>().ok()?;
        let host = match reference.registry.as_str() {
            "" => DEFAULT_REGISTRY,
            // The address of the registry protocol.
            DEFAULT_REGISTRY | "index.docker.io" => "registry-1.docker.io",
            host => host,
        };
        let host = match split_port(host) {
            (_, Some(_)) => host.to_owned(),
            (host, None) => format!("{host}:{}", if policy.insecure { 80 } else { 443 }),
        };
        let reason = self.refusal(&host, DefaultPort::Https)?;
        Some(format!("importing images from registry \"{host}\" is forbidden: {reason}"))
    }

    /// Returns the reason why images of a registry may not be imported. An empty registry means
    /// Docker Hub.
    fn refusal(&self, registry: &str, port: DefaultPort) -> Option<String> {
        let shown = match (registry, port) {
            ("", DefaultPort::Https) => format!("{DEFAULT_REGISTRY}:443"),
            ("", DefaultPort::Any) => DEFAULT_REGISTRY.to_owned(),
            (registry, _) => registry.to_owned(),
        };
        let (host, explicit) =
            split_port(if registry.is_empty() { DEFAULT_REGISTRY } else { registry });
        let matches = |entry: &AllowedRegistry| {
            let is_host = is_match(&entry.host, host)
                || is_docker_hub(host) && is_match(&entry.host, DEFAULT_REGISTRY);
            let is_port = match (explicit, port) {
                (Some(port), _) => is_match(&entry.port, port),
                (None, DefaultPort::Https) => is_match(&entry.port, "443"),
                (None, DefaultPort::Any) => {
                    is_match(&entry.port, "443") || is_match(&entry.port, "80")
                }
            };
            is_host && is_port
        };
        (!self.0.iter().any(matches))
            .then(|| format!("registry \"{shown}\" not allowed by whitelist: {self}"))
    }
}

impl fmt::Display for AllowedRegistries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(entries) = self;
        let listed = if entries.len() > MAX_LISTED { MAX_LISTED - 1 } else { entries.len() };
        for (at, AllowedRegistry { host, port }) in entries[..listed].iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}\"{host}:{port}\"")?;
        }
        match entries.len() - listed {
            0 => Ok(()),
            more => write!(f, ", and {more} more ..."),
        }
    }
}

impl FromStr for AllowedRegistry {
    type Err = ParseAllowedRegistryError;

    fn from_str(text: &str) -> Result<Self, ParseAllowedRegistryError> {
        let (host, port) = split_port(text);
        let is_bad = |letter: char| letter.is_whitespace() || "/,\"@".contains(letter);
        let port = port.unwrap_or("443");
        if host.is_empty() || port.is_empty() || text.contains(is_bad) || port.contains(':') {
            return Err(ParseAllowedRegistryError);
        }
        Ok(Self { host: host.into(), port: port.into() })
    }
}

impl DefaultPort {
    fn of(is_insecure: bool) -> Self {
        if is_insecure { Self::Any } else { Self::Https }
    }
}

/// Check of the references of one object.
struct ReferenceCheck<'a> {
    allowed: &'a AllowedRegistries,
    /// Repositories that the object referred to before.
    known: HashSet<String>,
}

impl ReferenceCheck<'_> {
    fn error(
        &self,
        path: impl fmt::Display,
        text: &str,
        port: DefaultPort,
    ) -> Option<field::Error> {
        // Validation reports text that is no reference. An empty one stands for Docker Hub.
        let reference = match text {
            "" => Reference::default(),
            text => text.parse().ok()?,
        };
        if self.known.contains(&canonical(&reference)) {
            return None;
        }
        let reason = self.allowed.refusal(&reference.registry, port)?;
        Some(field::Error::forbidden(path, reason))
    }

    /// The error of a spec tag, with a path in the tag.
    fn tag_error(&self, tag: &TagReference, is_insecure: bool) -> Option<field::Error> {
        let from = tag.from.as_ref().filter(|from| from.kind == "DockerImage")?;
        let port = DefaultPort::of(is_insecure || tag.import_policy.insecure);
        self.error("from.name", &from.name, port)
    }

    fn history_errors(&self, stream: &ImageStream, is_insecure: bool) -> field::Errors {
        let mut errors = field::Errors::default();
        for tag in &stream.status.tags {
            let insecure_tag =
                tags::spec_tag(stream, &tag.tag).is_some_and(|tag| tag.import_policy.insecure);
            let port = DefaultPort::of(is_insecure || insecure_tag);
            for (at, event) in tag.items.iter().enumerate() {
                let text = &event.docker_image_reference;
                let path =
                    format_args!("status.tags[{}].items[{at}].dockerImageReference", tag.tag);
                errors.extend(self.error(path, text, port).filter(|_| !text.is_empty()));
            }
        }
        errors
    }
}

/// Returns the repositories that a stream refers to.
fn repositories(stream: &ImageStream) -> HashSet<String> {
    let sources = stream.spec.tags.iter().filter_map(|tag| tag.from.as_ref());
    let sources = sources.filter(|from| from.kind == "DockerImage").map(|from| &from.name);
    let events = stream.status.tags.iter().flat_map(|tag| &tag.items);
    [&stream.spec.docker_image_repository]
        .into_iter()
        .chain(sources)
        .chain(events.map(|event| &event.docker_image_reference))
        .filter_map(|text| text.parse().ok().map(|reference| canonical(&reference)))
        .collect()
}

fn canonical(reference: &Reference) -> String {
    reference.with_client_defaults().repository().exact()
}

/// Returns true if the annotations of a stream or tag permit HTTP.
pub(super) fn is_insecure(metadata: &ObjectMeta) -> bool {
    metadata.annotations.get(INSECURE).is_some_and(|value| value == "true")
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)))
}

/// Returns true if a pattern with `*` and `?` matches the whole text.
fn is_match(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == text[position] => {
                at += 1;
                position += 1;
            }
            _ => {
                // The last star takes one byte more.
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                position = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests;
