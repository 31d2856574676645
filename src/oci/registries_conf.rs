//! `RegistriesConf`: mirrors, blocked and insecure registries of `--registries-config`.
//!
//! The format is version 2 of containers-registries.conf(5). Keys without an effect on imports,
//! such as `unqualified-search-registries`, are errors, so that no setting is ignored.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::manifest::PullSource;
use super::repository::{ManifestReference, Repository};
use super::trust::Security;

/// Rules for registries.
#[derive(Clone, Debug, Default)]
pub struct RegistriesConf {
    rules: Vec<RegistryRule>,
}

/// Error of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistriesConfError {
    /// Malformed TOML, an unknown key, or a value of another type.
    #[error("{0}")]
    Syntax(String),
    /// An invalid value.
    #[error("[[registry]] {registry:?}: {key}: {reason}")]
    Value {
        /// Prefix or location of the registry.
        registry: String,
        /// Key.
        key: &'static str,
        /// Reason.
        reason: &'static str,
    },
}

/// Mirrors and settings of the repositories below a prefix.
#[derive(Clone, Debug)]
struct RegistryRule {
    prefix: String,
    location: String,
    security: Option<Security>,
    is_blocked: bool,
    mirrors: Vec<MirrorRule>,
}

#[derive(Clone, Debug)]
struct MirrorRule {
    location: String,
    security: Security,
    pull_from: PullFromMirror,
}

/// References that a mirror serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFromMirror {
    All,
    DigestOnly,
    TagOnly,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfFile {
    #[serde(default)]
    registry: Vec<RegistryTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RegistryTable {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror: Vec<MirrorTable>,
    #[serde(default)]
    mirror_by_digest_only: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct MirrorTable {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<PullFromMirror>,
}

impl RegistriesConf {
    /// Parses a file.
    ///
    /// # Errors
    /// Malformed TOML, an unknown key, and an invalid value.
    pub fn parse(text: &str) -> Result<Self, RegistriesConfError> {
        let file: ConfFile =
            toml::from_str(text).map_err(|error| RegistriesConfError::Syntax(error.to_string()))?;
        let mut prefixes = BTreeSet::new();
        let mut rules = Vec::new();
        for table in file.registry {
            let rule = table.rule()?;
            if !prefixes.insert(rule.prefix.clone()) {
                let reason = "another [[registry]] has the same prefix";
                return Err(rule.error("prefix", reason));
            }
            rules.push(rule);
        }
        Ok(Self { rules })
    }

    /// Returns the sources of an image in the order in which they are tried: mirrors, then the
    /// repository itself. None if the registry is blocked.
    ///
    /// `reference` is none for a list of tags. A location that makes no valid name is left out.
    pub fn sources(
        &self,
        repository: &Repository,
        reference: Option<&ManifestReference>,
        security: Security,
    ) -> Option<Vec<PullSource>> {
        let name = repository.to_string();
        let matching = self.rules.iter().filter_map(|rule| Some((rule.match_length(&name)?, rule)));
        let Some((length, rule)) = matching.max_by_key(|(_, rule)| rule.prefix.len()) else {
            return Some(vec![PullSource { repository: repository.clone(), security }]);
        };
        if rule.is_blocked {
            return None;
        }
        let at = |location: &str, security| {
            let name = match location {
                "" => name.clone(),
                location => format!("{location}{}", &name[length..]),
            };
            Some(PullSource { repository: Repository::parse(&name).ok()?, security })
        };
        let is_digest = reference.is_some_and(|reference| reference.digest().is_some());
        let mirrors = rule.mirrors.iter().filter(|mirror| match mirror.pull_from {
            PullFromMirror::All => true,
            PullFromMirror::DigestOnly => is_digest,
            PullFromMirror::TagOnly => !is_digest,
        });
        let mirrors = mirrors.filter_map(|mirror| at(&mirror.location, mirror.security));
        let own = at(&rule.location, rule.security.unwrap_or(security));
        Some(mirrors.chain(own).collect())
    }
}

impl RegistryTable {
    fn rule(self) -> Result<RegistryRule, RegistriesConfError> {
        let prefix = if self.prefix.is_empty() { &self.location } else { &self.prefix };
        let mut rule = RegistryRule {
            prefix: prefix.trim_end_matches('/').to_owned(),
            location: self.location.trim_end_matches('/').to_owned(),
            security: self.insecure.then_some(Security::Insecure),
            is_blocked: self.blocked,
            mirrors: Vec::new(),
        };
        if rule.prefix.is_empty() {
            return Err(rule.error("location", "a prefix or a location is required"));
        }
        if rule.location.is_empty() && !rule.prefix.starts_with("*.") {
            return Err(rule.error("location", "it is required unless the prefix starts with *."));
        }
        let host = rule.prefix.strip_prefix("*.").unwrap_or(&rule.prefix);
        if !is_location(host) {
            return Err(rule.error("prefix", "it must be a host with an optional port and path"));
        }
        if !rule.location.is_empty() && !is_location(&rule.location) {
            return Err(rule.error("location", "it must be a host with an optional port and path"));
        }
        for mirror in self.mirror {
            let location = mirror.location.trim_end_matches('/').to_owned();
            if !is_location(&location) {
                let reason = "it must be a host with an optional port and path";
                return Err(rule.error("mirror.location", reason));
            }
            let pull_from = match (mirror.pull_from_mirror, self.mirror_by_digest_only) {
                (Some(_), true) => {
                    let reason = "it excludes mirror-by-digest-only";
                    return Err(rule.error("mirror.pull-from-mirror", reason));
                }
                (Some(pull_from), false) => pull_from,
                (None, true) => PullFromMirror::DigestOnly,
                (None, false) => PullFromMirror::All,
            };
            let security = if mirror.insecure { Security::Insecure } else { Security::Verified };
            rule.mirrors.push(MirrorRule { location, security, pull_from });
        }
        Ok(rule)
    }
}

impl RegistryRule {
    fn error(&self, key: &'static str, reason: &'static str) -> RegistriesConfError {
        RegistriesConfError::Value { registry: self.prefix.clone(), key, reason }
    }

    /// The length of the part of a name that the prefix matches. It ends at `/`, or at `:` after a
    /// host. A prefix that starts with `*.` matches the subdomains of a host.
    fn match_length(&self, name: &str) -> Option<usize> {
        let length = match self.prefix.strip_prefix('*') {
            Some(suffix) => {
                let end = name.find('/').unwrap_or(name.len());
                let end = if suffix.contains('/') { name.len() } else { end };
                let at = name[..end].find(suffix).filter(|at| *at > 0)?;
                at + suffix.len()
            }
            None => name.strip_prefix(self.prefix.as_str()).map(|_| self.prefix.len())?,
        };
        let rest = &name[length..];
        (rest.is_empty() || rest.starts_with(['/', ':'])).then_some(length)
    }
}

/// Returns true for a host with an optional port and path.
fn is_location(text: &str) -> bool {
    let with_path = if text.contains('/') { text.to_owned() } else { format!("{text}/x") };
    Repository::parse(&with_path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn sources(conf: &str, name: &str, reference: &str) -> Option<Vec<String>> {
        let conf = RegistriesConf::parse(conf).unwrap();
        let reference = match reference.parse() {
            Ok(digest) => ManifestReference::Digest(digest),
            Err(_) => ManifestReference::Tag(reference.parse().unwrap()),
        };
        let repository = Repository::parse(name).unwrap();
        let sources = conf.sources(&repository, Some(&reference), Security::Verified)?;
        let text = |source: PullSource| match source.security {
            Security::Verified => source.repository.to_string(),
            Security::Insecure => format!("{} insecure", source.repository),
        };
        Some(sources.into_iter().map(text).collect())
    }

    fn error(conf: &str) -> String {
        RegistriesConf::parse(conf).unwrap_err().to_string()
    }

    #[test]
    fn mirrors_are_tried_first_and_the_longest_prefix_wins() {
        let conf = r#"
            [[registry]]
            prefix = "quay.io/team"
            location = "internal.io/team-copy"
            insecure = true
            [[registry.mirror]]
            location = "mirror.io:5000/q"
            [[registry.mirror]]
            location = "tags.io"
            insecure = true
            pull-from-mirror = "tag-only"
            [[registry.mirror]]
            location = "digests.io"
            pull-from-mirror = "digest-only"
            [[registry]]
            location = "quay.io"
            blocked = true
        "#;
        let tag =
            ["mirror.io:5000/q/app", "tags.io/app insecure", "internal.io/team-copy/app insecure"];
        assert_eq!(sources(conf, "quay.io/team/app", "v1").unwrap(), tag);
        let digest =
            ["mirror.io:5000/q/app", "digests.io/app", "internal.io/team-copy/app insecure"];
        assert_eq!(sources(conf, "quay.io/team/app", DIGEST).unwrap(), digest);
        assert_eq!(sources(conf, "quay.io/teams/app", "v1"), None);
        assert_eq!(sources(conf, "quay.io2/app", "v1").unwrap(), ["quay.io2/app"]);
    }

    #[test]
    fn wildcards_match_subdomains() {
        let conf = r#"
            [[registry]]
            prefix = "*.example.com"
            insecure = true
            [[registry]]
            prefix = "*.moved.com"
            location = "new.io"
            mirror-by-digest-only = true
            [[registry.mirror]]
            location = "mirror.io"
        "#;
        assert_eq!(
            sources(conf, "a.b.example.com:5000/x", "v1").unwrap(),
            ["a.b.example.com:5000/x insecure"]
        );
        assert_eq!(sources(conf, "example.com/x", "v1").unwrap(), ["example.com/x"]);
        assert_eq!(
            sources(conf, "a.example.com.evil.io/x", "v1").unwrap(),
            ["a.example.com.evil.io/x"]
        );
        assert_eq!(sources(conf, "a.moved.com/x", "v1").unwrap(), ["new.io/x"]);
        assert_eq!(sources(conf, "a.moved.com/x", DIGEST).unwrap(), ["mirror.io/x", "new.io/x"]);
    }

    #[test]
    fn unsupported_keys_and_values_are_named() {
        for (conf, expected) in [
            ("unqualified-search-registries = ['x']", "unqualified-search-registries"),
            ("[registries.search]\nregistries = ['x']", "`registries`"),
            ("[[registry]]\nlocation = 'x'\nallowed = true", "allowed"),
            ("[[registry]]\nlocation = 'x'\n[[registry.mirror]]\nlocation = 'y'\ntag = 1", "tag"),
            (
                "[[registry]]\nlocation = 'x'\n[[registry.mirror]]\nlocation = 'y'\npull-from-mirror = 'no'",
                "unknown variant `no`",
            ),
            ("[[registry]]\nlocation = 'https://x'", "\"https://x\": prefix: it must be a host"),
            ("[[registry]]\nprefix = 'x'", "location: it is required"),
            ("[[registry]]\nblocked = true", "a prefix or a location is required"),
            ("[[registry]]\nlocation = 'x'\n[[registry]]\nlocation = 'x/'", "the same prefix"),
            (
                "[[registry]]\nlocation = 'x'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'y'\npull-from-mirror = 'all'",
                "it excludes mirror-by-digest-only",
            ),
        ] {
            assert!(error(conf).contains(expected), "{conf}: {}", error(conf));
        }
    }
}
