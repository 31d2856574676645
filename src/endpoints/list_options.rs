//! The options of a list or a watch.

use super::context::RequestContext;
use super::negotiation::ObjectForm;
use crate::meta::Status;
use crate::registry::options::{ListContent, ListOptions};

/// Reads the options of a list or a watch.
///
/// # Errors
/// 400 for invalid numbers.
pub fn read(cx: &RequestContext) -> Result<ListOptions, Status> {
    let content = match cx.representation.form {
        ObjectForm::PartialMetadataList => ListContent::Metadata,
        ObjectForm::Object | ObjectForm::Table | ObjectForm::PartialMetadata => ListContent::Whole,
    };
    Ok(ListOptions { content, ..ListOptions::read(&cx.query)? })
}
