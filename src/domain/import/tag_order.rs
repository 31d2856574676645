//! Order of the tags of a repository, as `PrioritizeTags` in library-go
//! pkg/image/imageutil/helpers.go: the tags that are imported first if not all are.

use std::cmp::Reverse;

use semver::Version;

use crate::domain::tags;

/// Tags of a repository, divided by the maximum number of tags to import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSelection {
    /// Tags to import.
    pub imported: Vec<String>,
    /// Other tags, in the same order.
    pub additional: Vec<String>,
}

/// Sorts the tags of a repository and divides them after the first `most`, if there is a maximum.
///
/// An empty tag means `latest`. Repeated tags count once.
pub fn select(tags: Vec<String>, most: Option<usize>) -> TagSelection {
    let mut keyed: Vec<(TagRank, String)> = tags
        .into_iter()
        .map(|tag| tags::or_default(&tag).to_owned())
        .map(|tag| (TagRank::of(&tag), tag))
        .collect();
    keyed.sort();
    keyed.dedup_by(|a, b| a.1 == b.1);
    let mut imported: Vec<String> = keyed.into_iter().map(|(_, tag)| tag).collect();
    let additional = imported.split_off(most.unwrap_or(usize::MAX).min(imported.len()));
    TagSelection { imported, additional }
}

/// Rank of a tag. Lower ranks are imported first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TagRank {
    /// The tag `latest`.
    Default,
    /// Major and minor version, such as `5.1`, `v5.1` or `5.1-rc1`, highest first.
    Minor(Reverse<Version>, Prefix),
    /// Full version, such as `5.1.3` or `v5.1.3-rc.1`, highest first.
    Full(Reverse<Version>, Prefix),
    /// Any other tag, in byte order.
    Other,
}

/// Prefix of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Prefix {
    None,
    V,
}

impl TagRank {
    fn of(tag: &str) -> Self {
        if tag == tags::DEFAULT {
            return Self::Default;
        }
        let (number, prefix) = match tag.strip_prefix('v') {
            Some(number) => (number, Prefix::V),
            None => (tag, Prefix::None),
        };
        if let Some(full) = with_patch(number) {
            return match Version::parse(&full) {
                Ok(version) => Self::Minor(Reverse(version), prefix),
                Err(_) => Self::Other,
            };
        }
        match Version::parse(number) {
            Ok(version) => Self::Full(Reverse(version), prefix),
            Err(_) => Self::Other,
        }
    }
}

/// Returns the full version of a minor one: `5.1.0-rc1` for `5.1-rc1`. `None` for other texts.
fn with_patch(number: &str) -> Option<String> {
    let (core, suffix) = match number.split_once('-') {
        Some((core, suffix)) => (core, Some(suffix)),
        None => (number, None),
    };
    let (major, minor) = core.split_once('.')?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !is_number(major) || !is_number(minor) || !suffix.is_none_or(is_word) {
        return None;
    }
    let suffix = suffix.map(|suffix| format!("-{suffix}")).unwrap_or_default();
    Some(format!("{core}.0{suffix}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(tags: &[&str]) -> Vec<String> {
        tags.iter().map(|tag| (*tag).to_owned()).collect()
    }

    #[test]
    fn versions_come_before_names_newest_first() {
        let sorted = [
            "latest",
            "2.0",
            "v1.0",
            "1.0-rc1",
            "10.0.0",
            "2.0.1",
            "2.0.0",
            "v2.0.0",
            "v2.0.0-rc.1",
            "1.10.0",
            "v1.2.0",
            "1.0.0_build.5",
            "2",
            "A",
            "_x",
            "a",
            "v1",
            "v1.0.0.0",
        ];
        let mut tags = owned(&sorted);
        tags.reverse();
        assert_eq!(select(tags, None).imported, sorted);
    }

    #[test]
    fn tags_over_the_maximum_are_additional() {
        let tags = owned(&["a", "b", "latest", "1.0"]);
        let TagSelection { imported, additional } = select(tags.clone(), Some(3));
        assert_eq!((imported, additional), (owned(&["latest", "1.0", "a"]), owned(&["b"])));
        assert_eq!(select(tags.clone(), Some(0)).additional.len(), 4);
        assert_eq!(select(tags, Some(9)).additional.len(), 0);
    }

    #[test]
    fn empty_and_repeated_tags_count_once() {
        let tags = owned(&["a", "a", "", "b c", "v1", "latest"]);
        assert_eq!(select(tags, None).imported, ["latest", "a", "b c", "v1"]);
    }

    proptest! {
        #[test]
        fn selection_keeps_every_tag(tags in prop::collection::vec("v?[0-9]{1,2}(\\.[0-9]{1,2}){0,2}(-[a-z_]{1,3})?|\\PC{1,4}", 0..20), most in 0..20usize) {
            let TagSelection { mut imported, additional } = select(tags.clone(), Some(most));
            imported.extend(additional);
            imported.sort();
            let mut tags = tags;
            tags.sort();
            tags.dedup();
            prop_assert_eq!(imported, tags);
        }
    }
}
