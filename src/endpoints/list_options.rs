//! The options of a list or a watch.

use super::context::RequestContext;
use super::negotiation::{Media, ObjectForm, Representation};
use super::table::{self, IncludeObject};
use crate::meta::Status;
use crate::registry::options::{ListContent, ListOptions};

/// Reads the options of a list or a watch.
///
/// # Errors
/// 400 for invalid numbers and table options.
pub fn read(cx: &RequestContext) -> Result<ListOptions, Status> {
    let Representation { form, media, .. } = cx.representation;
    let content = match form {
        ObjectForm::PartialMetadataList => ListContent::Metadata,
        ObjectForm::Table if table::include_object(cx)? != IncludeObject::Object => {
            ListContent::Columns
        }
        // Its encoder reads JSON, and reads the list twice.
        ObjectForm::Object if media == Media::Protobuf => ListContent::Stored,
        ObjectForm::Object | ObjectForm::Table | ObjectForm::PartialMetadata => ListContent::Whole,
    };
    Ok(ListOptions { content, ..ListOptions::read(&cx.query)? })
}
