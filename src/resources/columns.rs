//! Table columns that several kinds share.

use crate::endpoints::table::Column;

/// The first column of every table.
pub(super) const NAME: Column = Column {
    name: "Name",
    r#type: "string",
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources, although some resources may \
                  allow a client to request the generation of an appropriate name automatically. Name is primarily intended \
                  for creation idempotence and configuration definition. Cannot be updated. More info: \
                  https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    priority: 0,
};

/// A column of strings.
pub(super) const fn text(name: &'static str, description: &'static str, priority: u8) -> Column {
    Column { name, r#type: "string", format: "", description, priority }
}

/// The description of image reference columns.
pub(super) const REFERENCE: &str =
    "dockerImageReference is the string that can be used to pull this image.";
/// The description of update time columns.
pub(super) const UPDATED: &str = "Last update time.";
