//! Flags of imports.

use std::fmt;
use std::str::FromStr;

use clap::Args;

use crate::domain::allowed_registries::AllowedRegistry;

/// Flags of imports.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
#[command(next_help_heading = "Image imports")]
pub struct Options {
    /// Registries from which images may be imported, and to which tags may refer; all by default.
    ///
    /// In HOST and PORT, `*` stands for any text and `?` for any character. PORT defaults to 443. The
    /// internal registry is always allowed.
    #[arg(long, value_name = "HOST[:PORT]", value_delimiter = ',')]
    pub allowed_registries_for_import: Vec<AllowedRegistry>,
    /// Maximum number of tags that an import of a whole repository imports; -1 for all.
    ///
    /// The response names the other tags.
    #[arg(long, value_name = "COUNT", default_value_t, allow_negative_numbers = true)]
    pub max_images_bulk_imported: BulkImportLimit,
}

/// Maximum number of tags that an import of a repository imports. `None` for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkImportLimit(pub Option<usize>);

impl Default for BulkImportLimit {
    /// The default of openshift-apiserver.
    fn default() -> Self {
        Self(Some(50))
    }
}

impl fmt::Display for BulkImportLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(most) => most.fmt(f),
            None => f.write_str("-1"),
        }
    }
}

impl FromStr for BulkImportLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<i64>() {
            Ok(-1) => Ok(Self(None)),
            Ok(count @ 1..) => Ok(Self(usize::try_from(count).ok())),
            _ => Err("it must be a whole number from 1, or -1 for all tags".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_positive_or_all() {
        assert_eq!("7".parse(), Ok(BulkImportLimit(Some(7))));
        assert_eq!("-1".parse(), Ok(BulkImportLimit(None)));
        for bad in ["0", "-2", "x", ""] {
            assert!(bad.parse::<BulkImportLimit>().is_err(), "{bad}");
        }
        assert_eq!(BulkImportLimit::default().to_string(), "50");
        assert_eq!(BulkImportLimit(None).to_string(), "-1");
    }
}
