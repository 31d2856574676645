//! The options of a list or a watch.

use super::context::RequestContext;
use super::negotiation::ObjectForm;
use crate::meta::Status;
use crate::registry::options::{Content, ListOptions};

/// The options of a list or a watch.
///
/// # Errors
/// 400 for parameters that are no numbers.
pub fn read(cx: &RequestContext) -> Result<ListOptions, Status> {
    let content = match cx.representation.form {
        ObjectForm::PartialMetadataList => Content::Metadata,
        ObjectForm::Object | ObjectForm::Table | ObjectForm::PartialMetadata => Content::Whole,
    };
    Ok(ListOptions { content, ..ListOptions::read(&cx.query)? })
}
